package bench;

/** One reading: what the windows need of it. Public fields, so that Flink's POJO serializer takes it. */
public class Reading {
    public String source;
    public String signal;
    public long timeUs;
    public double value;
    public boolean uncertain;

    public Reading copy() {
        Reading other = new Reading();
        other.source = source;
        other.signal = signal;
        other.timeUs = timeUs;
        other.value = value;
        other.uncertain = uncertain;
        return other;
    }
}
