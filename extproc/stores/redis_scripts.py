"""Many calls of one script in one go: a pipeline, or in a Cluster one for each node."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode, PipelineCommand
from redis.exceptions import AskError, MovedError


class Asked(Protocol):
    """What a script is called with."""

    @property
    def keys(self) -> Sequence[bytes]: ...

    @property
    def arguments(self) -> Sequence[str | int]: ...


async def run(client: Redis | RedisCluster, sha: str, calls: Sequence[Asked]) -> Sequence[Any]:
    """An answer or an exception for each."""
    if isinstance(client, RedisCluster):
        return await _run_on_nodes(client, sha, calls)
    pipeline = client.pipeline(transaction=False)
    for one in calls:
        pipeline.execute_command("EVALSHA", sha, len(one.keys), *one.keys, *one.arguments)
    answered: Sequence[Any] = await pipeline.execute(raise_on_error=False)
    return answered


async def _run_on_nodes(client: RedisCluster, sha: str, calls: Sequence[Asked]) -> Sequence[Any]:
    """The client's own pipelines take no scripts. A slot that has moved, or is about to, is followed: whoever says so
    has done nothing. Where a script's keys are half here and half there nobody runs it (TRYAGAIN): that is its answer.
    """
    await client.initialize()
    commands = [
        PipelineCommand(place, "EVALSHA", sha, len(one.keys), *one.keys, *one.arguments)
        for place, one in enumerate(calls)
    ]
    nodes: dict[str, tuple[ClusterNode, list[PipelineCommand]]] = {}
    for command, one in zip(commands, calls, strict=True):
        node = client.nodes_manager.get_node_from_slot(client.keyslot(one.keys[0]))
        nodes.setdefault(node.name, (node, []))[1].append(command)
    await asyncio.gather(*(_ask_node(node, some) for node, some in nodes.values()))
    moved = [command for command in commands if isinstance(command.result, MovedError)]
    again = await asyncio.gather(*(client.execute_command(*one.args) for one in moved), return_exceptions=True)
    for command, answer in zip(moved, again, strict=True):
        command.result = answer
    await asyncio.gather(*(_ask_the_next(client, command) for command in commands))
    return [command.result for command in commands]


async def _ask_the_next(client: RedisCluster, command: PipelineCommand) -> None:
    """Where a slot is leaving, the node that it goes to. Who says ASKING is heard for the one command behind it, on the
    same connection (Redis cluster specification: ASK redirection)."""
    redirection = command.result
    if not isinstance(redirection, AskError) or isinstance(redirection, MovedError):
        return
    node = client.get_node(host=redirection.host, port=redirection.port)
    if node is None:
        return
    both = [PipelineCommand(0, "ASKING"), PipelineCommand(1, *command.args)]
    await _ask_node(node, both)
    command.result = both[1].result


async def _ask_node(node: ClusterNode, commands: list[PipelineCommand]) -> None:
    """One node that is gone is not all of them."""
    try:
        await node.execute_pipeline(commands)
    except Exception as error:  # noqa: BLE001 - each of those who asked is told
        for command in commands:
            command.result = command.result or error
