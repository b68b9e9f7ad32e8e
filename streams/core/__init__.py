"""The pure core: (state, frame, context, time) in, (changes, frames) out. No Kafka, no Faust, no clock, no I/O."""
