package bench;

/** What the orchestrator tells an engine through the environment. */
public final class Settings {
    public static final String BOOTSTRAP = need("BOOTSTRAP");
    public static final String IN_TOPIC = need("IN_TOPIC");
    public static final String OUT_TOPIC = need("OUT_TOPIC");
    public static final String GROUP = need("GROUP");
    public static final String SHAPE = need("SHAPE");
    public static final String STAGE = need("STAGE");
    public static final long DISORDER_US = Long.parseLong(need("DISORDER_MS")) * 1_000;
    public static final long WINDOW_US = 60_000_000L;

    private Settings() {}

    public static String need(String name) {
        String value = System.getenv(name);
        if (value == null) {
            throw new IllegalStateException("environment variable " + name + " is not set: start me from tests.bench.run");
        }
        return value;
    }

    public static String or(String name, String fallback) {
        return System.getenv().getOrDefault(name, fallback);
    }
}
