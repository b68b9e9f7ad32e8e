package bench;

import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** Resolves the dictionary, converts the unit, marks values outside the instrument range; key: work centre. */
public final class Validate implements Processor<byte[], byte[], String, byte[]> {
    private final Dictionary dictionary = Dictionary.load(Settings.need("DICTIONARY"));
    private final Decoder decoder = new Decoder(Settings.SHAPE);
    private final Reading out = new Reading();
    private ProcessorContext<String, byte[]> context;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        decoder.decode(record.value(), reading -> {
            Dictionary.Entry entry = dictionary.find(reading.source, reading.signal);
            if (entry == null || Double.isNaN(reading.value)) {
                return;
            }
            out.signal = entry.signalId();
            out.timeUs = reading.timeUs;
            out.value = reading.value * entry.factor() + entry.offset();
            out.uncertain = reading.uncertain || out.value < entry.low() || out.value > entry.high();
            context.forward(new Record<>(entry.workCenter(), Decoder.pack(out), record.timestamp()));
        });
    }
}
