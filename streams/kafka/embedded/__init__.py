"""A real single-node Kafka broker as a child process, for the demo and the tests."""
