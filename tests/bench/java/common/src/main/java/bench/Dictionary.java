package bench;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;

/** What a source's address means: identity, unit conversion, instrument range and line. */
public final class Dictionary {
    /** One entry. */
    public record Entry(String signalId, String workCenter, double factor, double offset, double low, double high) {}

    private final Map<String, Map<String, Entry>> entries = new HashMap<>();

    /** The dictionary from the JSON array in the environment variable DICTIONARY: the peer's best case, no topic to follow. */
    public static Dictionary load(String json) {
        Dictionary dictionary = new Dictionary();
        try (JsonParser parser = new JsonFactory().createParser(json)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.START_ARRAY) {
                String[] row = new String[8];
                for (int i = 0; i < row.length; i++) {
                    parser.nextToken();
                    row[i] = parser.getText();
                }
                parser.nextToken();
                dictionary.entries.computeIfAbsent(row[0], source -> new HashMap<>()).put(row[1], new Entry(
                        row[2], row[3], Double.parseDouble(row[4]), Double.parseDouble(row[5]),
                        Double.parseDouble(row[6]), Double.parseDouble(row[7])));
            }
        } catch (IOException broken) {
            throw new IllegalStateException("DICTIONARY is no JSON array of rows", broken);
        }
        return dictionary;
    }

    public Entry find(String source, String address) {
        Map<String, Entry> own = entries.get(source);
        return own == null ? null : own.get(address);
    }
}
