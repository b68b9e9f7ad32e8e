"""Plantweave: raw OT readings and IT context in, alerts and KPIs out, exactly once, on Kafka. Start at `topology`."""

__version__ = "0.1.0"
