"""The topology as people read it. Enters: `streams.topology`; leaves: Mermaid text and Markdown tables for the docs."""

from __future__ import annotations

from streams import topology


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
    for stage in topology.STAGES:
        for topic in stage.writes:
            path = f"schemas/{topic.schema_path}"
            lines.append(
                f"| `{topic.name}` | {topic.text} | `{topic.key}` | `{stage.name}` | [{topic.name}.avsc]({path}) |"
            )
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
