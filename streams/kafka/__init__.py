"""The shell towards Kafka: transport, chunks, tasks and state around the pure core; and the embedded broker."""
