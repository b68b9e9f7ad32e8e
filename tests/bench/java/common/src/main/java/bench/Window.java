package bench;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** The aggregates of one window of one signal. Public fields, so that Flink's POJO serializer takes it. */
public class Window {
    public static final int SIZE = 9 * 8;
    public long count;
    public long uncertain;
    public double sum;
    public double min = Double.POSITIVE_INFINITY;
    public double max = Double.NEGATIVE_INFINITY;
    public long firstUs = Long.MAX_VALUE;
    public double first;
    public long lastUs = Long.MIN_VALUE;
    public double last;

    public void add(Reading reading) {
        count++;
        if (reading.uncertain) uncertain++;
        sum += reading.value;
        min = Math.min(min, reading.value);
        max = Math.max(max, reading.value);
        if (reading.timeUs < firstUs) {
            firstUs = reading.timeUs;
            first = reading.value;
        }
        if (reading.timeUs >= lastUs) {
            lastUs = reading.timeUs;
            last = reading.value;
        }
    }

    public Window merge(Window other) {
        count += other.count;
        uncertain += other.uncertain;
        sum += other.sum;
        min = Math.min(min, other.min);
        max = Math.max(max, other.max);
        if (other.firstUs < firstUs) {
            firstUs = other.firstUs;
            first = other.first;
        }
        if (other.lastUs >= lastUs) {
            lastUs = other.lastUs;
            last = other.last;
        }
        return this;
    }

    public byte[] toBytes() {
        return ByteBuffer.allocate(SIZE)
                .putLong(count).putLong(uncertain).putDouble(sum).putDouble(min).putDouble(max)
                .putLong(firstUs).putDouble(first).putLong(lastUs).putDouble(last).array();
    }

    public static Window of(byte[] bytes) {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        Window window = new Window();
        window.count = buffer.getLong();
        window.uncertain = buffer.getLong();
        window.sum = buffer.getDouble();
        window.min = buffer.getDouble();
        window.max = buffer.getDouble();
        window.firstUs = buffer.getLong();
        window.first = buffer.getDouble();
        window.lastUs = buffer.getLong();
        window.last = buffer.getDouble();
        return window;
    }

    public byte[] toJson(String signal, long startUs) {
        return ("{\"signal\":\"" + signal + "\",\"window_start\":" + startUs + ",\"count\":" + count
                + ",\"uncertain\":" + uncertain + ",\"sum\":" + sum + ",\"min\":" + min + ",\"max\":" + max
                + ",\"first\":" + first + ",\"last\":" + last + ",\"mean\":" + sum / count + "}")
                .getBytes(StandardCharsets.UTF_8);
    }
}
