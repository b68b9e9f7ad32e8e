import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's Java client writes what a plan says. Enters: a file with one step per line, fields between tabs, bytes in
 * hexadecimal ("-" is null). Leaves: records; exit status 0 once all are acknowledged.
 *
 * <pre>
 * open   PRODUCER  NAME=SETTING...
 * send   PRODUCER  TOPIC  TIMESTAMP  KEY  VALUE  [HEADER=VALUE...]
 * begin | flush | commit | abort  PRODUCER
 * </pre>
 */
public final class PlanProducer {
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();
    private final List<Future<?>> sent = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        PlanProducer plan = new PlanProducer();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            plan.step(line.split("\t", -1));
        }
        for (Future<?> future : plan.sent) {
            future.get();
        }
        // Not closed: a transaction that the plan leaves open stays open, as after the death of its producer.
        Runtime.getRuntime().halt(0);
    }

    private void step(String[] fields) {
        if (fields[0].equals("open")) {
            open(fields);
            return;
        }
        KafkaProducer<byte[], byte[]> producer = producers.get(fields[1]);
        switch (fields[0]) {
            case "send" -> sent.add(producer.send(record(fields)));
            case "begin" -> producer.beginTransaction();
            case "flush" -> producer.flush();
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            default -> throw new IllegalArgumentException("no such step: " + fields[0]);
        }
    }

    private void open(String[] fields) {
        Map<String, Object> settings = new HashMap<>();
        for (int index = 2; index < fields.length; index++) {
            String[] setting = fields[index].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
        if (settings.containsKey("transactional.id")) {
            producer.initTransactions();
        }
        producers.put(fields[1], producer);
    }

    private static ProducerRecord<byte[], byte[]> record(String[] fields) {
        var record = new ProducerRecord<>(fields[2], 0, Long.valueOf(fields[3]), bytes(fields[4]), bytes(fields[5]));
        for (int index = 6; index < fields.length; index++) {
            String[] header = fields[index].split("=", 2);
            record.headers().add(header[0], bytes(header[1]));
        }
        return record;
    }

    private static byte[] bytes(String field) {
        return field.equals("-") ? null : HexFormat.of().parseHex(field);
    }
}
