"""What keeps a worker from starting, or stops it for good: a sentence that says what to do, and an exit code."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from streams import topology
from streams.kafka import state, topics
from streams.settings import Settings
from tests.chaos.deployment import Deployment
from tests.integration import bad_input, harness
