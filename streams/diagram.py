"""The topology as people read it. Enters: `streams.topology`; leaves: Mermaid text and Markdown tables for the docs.

`python -m streams.diagram` (in a checkout) writes them into README.md.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from streams import topology

README: Final = Path(__file__).resolve().parents[1] / "README.md"


def _node(name: str) -> str:
    return name.replace(".", "_")


def flow() -> str:
    """The flow diagram (Mermaid): topics as rounded boxes, services as rectangles, context dotted."""
    lines = ["flowchart LR"]
    lines += [f'  {_node(topic.name)}(["{topic.name}"])' for topic in topology.topics()]
    for stage in topology.STAGES:
        lines.append(f'  {stage.name}["{stage.name}"]')
        lines += [f"  {_node(topic.name)} --> {stage.name}" for topic in stage.reads]
        lines += [f"  {_node(topic.name)} -.-> {stage.name}" for topic in stage.context]
        lines += [f"  {stage.name} --> {_node(topic.name)}" for topic in stage.writes]
    return "\n".join(lines)


def outputs() -> str:
    """Table of the topics that services write, for subscribers."""
    lines = ["| topic | what | key | written by | contract |", "|---|---|---|---|---|"]
    for topic in topology.topics():
        writers = ", ".join(f"`{stage.name}`" for stage in topology.STAGES if topic in stage.writes)
        if writers:
            path = f"schemas/{topic.schema_path}"
            lines.append(f"| `{topic.name}` | {topic.text} | `{topic.key}` | {writers} | [{topic.name}.avsc]({path}) |")
    return "\n".join(lines)


def inputs() -> str:
    """Table of the topics that edge nodes and IT systems write."""
    written = {topic.name for stage in topology.STAGES for topic in stage.writes}
    lines = ["| topic | what | key | contract |", "|---|---|---|---|"]
    for topic in topology.topics():
        if topic.name not in written:
            path = f"schemas/{topic.schema_path}"
            lines.append(f"| `{topic.name}` | {topic.text} | `{topic.key}` | [{topic.name}.avsc]({path}) |")
    return "\n".join(lines)


def services() -> str:
    """Table of the services."""
    lines = ["| service | reads | context | what it does |", "|---|---|---|---|"]
    for stage in topology.STAGES:
        reads = ", ".join(f"`{topic.name}`" for topic in stage.reads)
        context = ", ".join(f"`{topic.name}`" for topic in stage.context)
        lines.append(f"| `{stage.name}` | {reads} | {context} | {stage.text} |")
    return "\n".join(lines)


PARTS = {"flow": lambda: f"```mermaid\n{flow()}\n```", "outputs": outputs, "inputs": inputs, "services": services}


def fill(text: str) -> str:
    """`text` with everything between `<!-- NAME -->` and `<!-- /NAME -->` made anew, for each part."""
    for name, make in PARTS.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if begin in text and end in text:
            head, rest = text.split(begin, 1)
            text = f"{head}{begin}\n{make()}\n{end}{rest.split(end, 1)[1]}"
    return text


def main() -> int:
    """Make diagram and tables of README.md anew; 1 where there is no README.md: outside a checkout."""
    try:
        README.write_text(fill(README.read_text(encoding="utf-8")), encoding="utf-8")
    except OSError as why:
        sys.stderr.write(f"{why}; run it in a checkout\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
