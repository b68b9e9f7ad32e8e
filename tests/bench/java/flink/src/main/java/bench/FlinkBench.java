package bench;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.core.execution.CheckpointingMode;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.DataStreamUtils;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/** Flink, exactly once, in one process (its embedded cluster): raw topic to windows, state on the heap. */
public final class FlinkBench {
    private FlinkBench() {}

    public static void main(String[] arguments) throws Exception {
        Configuration configuration = new Configuration();
        configuration.set(StateBackendOptions.STATE_BACKEND, "hashmap");
        configuration.set(CheckpointingOptions.CHECKPOINT_STORAGE, "jobmanager");
        configuration.set(PipelineOptions.OBJECT_REUSE, true);
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.getExecutionEnvironment(configuration);
        int parallelism = Integer.parseInt(Settings.or("PARALLELISM", "1"));
        environment.setParallelism(parallelism);
        environment.enableCheckpointing(Long.parseLong(Settings.or("CHECKPOINT_MS", "1000")), CheckpointingMode.EXACTLY_ONCE);
        WatermarkStrategy<Reading> watermarks = WatermarkStrategy
                .<Reading>forBoundedOutOfOrderness(Duration.ofMillis(Settings.DISORDER_US / 1_000))
                .withTimestampAssigner((reading, broker) -> Math.floorDiv(reading.timeUs, 1_000L));
        DataStream<Reading> readings = environment.fromSource(source(), watermarks, "readings");
        // With one subtask every key is already where its window is; without a shuffle source and window share a thread.
        KeyedStream<Reading, String> bySignal = parallelism == 1 && Settings.or("SHUFFLE", "1").equals("0")
                ? DataStreamUtils.reinterpretAsKeyedStream(readings, reading -> reading.signal, TypeInformation.of(String.class))
                : readings.keyBy(reading -> reading.signal);
        bySignal.window(TumblingEventTimeWindows.of(Duration.ofMinutes(1)))
                .aggregate(new Aggregate(), new Close())
                .sinkTo(sink());
        environment.execute("bench");
    }

    private static KafkaSource<Reading> source() {
        return KafkaSource.<Reading>builder()
                .setBootstrapServers(Settings.BOOTSTRAP)
                .setTopics(Settings.IN_TOPIC)
                .setGroupId(Settings.GROUP)
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new ReadingSchema())
                .setProperty("max.poll.records", "10000")
                .setProperty("max.partition.fetch.bytes", String.valueOf(8 << 20))
                .setProperty("fetch.max.bytes", String.valueOf(48 << 20))
                .setProperty("isolation.level", "read_committed")
                .build();
    }

    private static KafkaSink<Tuple2<String, byte[]>> sink() {
        KafkaRecordSerializationSchema<Tuple2<String, byte[]>> schema = (row, context, time) ->
                new ProducerRecord<>(Settings.OUT_TOPIC, row.f0.getBytes(StandardCharsets.UTF_8), row.f1);
        return KafkaSink.<Tuple2<String, byte[]>>builder()
                .setBootstrapServers(Settings.BOOTSTRAP)
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(Settings.GROUP)
                .setProperty("transaction.timeout.ms", "60000")
                .setProperty("linger.ms", "20")
                .setProperty("compression.type", "lz4")
                .setRecordSerializer(schema)
                .build();
    }

    /** Bytes to readings; a batch becomes its readings. */
    public static final class ReadingSchema implements KafkaRecordDeserializationSchema<Reading> {
        private transient Decoder decoder;

        @Override
        public void open(DeserializationSchema.InitializationContext context) {
            decoder = new Decoder(Settings.SHAPE);
        }

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Reading> out) throws IOException {
            // The connector queues what it is given, so each reading is an object of its own.
            decoder.decode(record.value(), reading -> out.collect(reading.copy()));
        }

        @Override
        public TypeInformation<Reading> getProducedType() {
            return TypeInformation.of(Reading.class);
        }
    }

    /** The aggregates. */
    public static final class Aggregate implements AggregateFunction<Reading, Window, Window> {
        @Override
        public Window createAccumulator() {
            return new Window();
        }

        @Override
        public Window add(Reading reading, Window window) {
            window.add(reading);
            return window;
        }

        @Override
        public Window getResult(Window window) {
            return window;
        }

        @Override
        public Window merge(Window one, Window other) {
            return one.merge(other);
        }
    }

    /** Adds what the window knows of itself. */
    public static final class Close extends ProcessWindowFunction<Window, Tuple2<String, byte[]>, String, TimeWindow> {
        @Override
        public void process(String signal, Context context, Iterable<Window> windows,
                Collector<Tuple2<String, byte[]>> out) {
            byte[] json = windows.iterator().next().toJson(signal, context.window().getStart() * 1_000);
            out.collect(Tuple2.of(signal, json));
        }
    }
}
