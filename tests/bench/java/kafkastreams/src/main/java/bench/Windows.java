package bench;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Tumbling windows per signal in a store whose keys begin with the window's start: what the watermark closes is one range.
 */
abstract class Windows<K> implements Processor<K, byte[], String, byte[]> {
    private final Map<String, byte[]> signals = new HashMap<>();
    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<Bytes, byte[]> store;
    private long highest = Long.MIN_VALUE;
    private long closesAt = Long.MAX_VALUE;

    static Windows<byte[]> ofRaw() {
        Decoder decoder = new Decoder(Settings.SHAPE);
        return new Windows<>() {
            @Override
            public void process(Record<byte[], byte[]> record) {
                decoder.decode(record.value(), this::add);
            }
        };
    }

    static Windows<String> ofValidated() {
        Decoder decoder = new Decoder(Settings.SHAPE);
        return new Windows<>() {
            @Override
            public void process(Record<String, byte[]> record) {
                add(decoder.unpack(record.value()));
            }
        };
    }

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        this.store = context.getStateStore(KafkaStreamsBench.STORE);
    }

    void add(Reading reading) {
        long start = Math.floorDiv(reading.timeUs, Settings.WINDOW_US) * Settings.WINDOW_US;
        if (start + Settings.WINDOW_US + Settings.DISORDER_US <= highest) {
            return; // too late
        }
        byte[] signal = signals.computeIfAbsent(reading.signal, name -> name.getBytes(StandardCharsets.UTF_8));
        Bytes key = Bytes.wrap(ByteBuffer.allocate(8 + signal.length).putLong(start).put(signal).array());
        byte[] known = store.get(key);
        Window window = known == null ? new Window() : Window.of(known);
        window.add(reading);
        store.put(key, window.toBytes());
        closesAt = Math.min(closesAt, start + Settings.WINDOW_US + Settings.DISORDER_US);
        if (reading.timeUs > highest) {
            highest = reading.timeUs;
            if (highest >= closesAt) {
                emitClosed();
            }
        }
    }

    private void emitClosed() {
        long end = highest - Settings.DISORDER_US - Settings.WINDOW_US; // starts up to here are closed
        List<KeyValue<Bytes, byte[]>> closed = new ArrayList<>();
        Bytes from = Bytes.wrap(new byte[8]);
        Bytes to = Bytes.wrap(ByteBuffer.allocate(8).putLong(end + 1).array());
        try (KeyValueIterator<Bytes, byte[]> rows = store.range(from, to)) {
            rows.forEachRemaining(closed::add);
        }
        for (KeyValue<Bytes, byte[]> row : closed) {
            ByteBuffer key = ByteBuffer.wrap(row.key.get());
            long start = key.getLong();
            String signal = new String(row.key.get(), 8, row.key.get().length - 8, StandardCharsets.UTF_8);
            context.forward(new Record<>(signal, Window.of(row.value).toJson(signal, start), context.currentStreamTimeMs()));
            store.delete(row.key);
        }
        closesAt = Math.floorDiv(end, Settings.WINDOW_US) * Settings.WINDOW_US + 2 * Settings.WINDOW_US + Settings.DISORDER_US;
    }
}
