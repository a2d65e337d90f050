"""`clickstream acls`: the rights of each role, as commands for Kafka and Redis."""

from __future__ import annotations

from typing import Annotated

import typer

from clickstream.infra.settings import load_settings
from clickstream.operate.rights import Role, kafka_commands, kafka_rights, redis_command, redis_rights


def acls(
    roles: Annotated[
        list[Role] | None, typer.Argument(metavar="[ROLE]...", help="Of these roles; else of all.")
    ] = None,
    user: Annotated[
        str, typer.Option(help="Name of a role's user in Kafka and Redis; {role} stands for the role.")
    ] = "clickstream-{role}",
    clicks_topic: Annotated[str | None, typer.Option(help="Topic of the clicks.")] = None,
    group: Annotated[str | None, typer.Option(help="Group of the consumers.")] = None,
    subscriber: Annotated[str, typer.Option(help="Group of the program that reads scores.")] = "subscriber",
) -> None:
    """Print the commands that give each role what it needs of Kafka and Redis, and no more.

    Topics, group, open scores, brokers and whether Redis is a cluster are those of the settings; nothing is
    connected to. The topics are there already: `clickstream topics` makes them, in the role topic-creator.
    Lines of Redis are for redis-cli, on each node of a cluster; write the password in place of
    PASSWORD. In a file of ACLs they begin with `user` in place of `ACL SETUSER`.

    Exit codes: 0 printed; 2 no such role.
    """
    settings = load_settings(clicks_topic=clicks_topic, group=group)
    bootstrap = settings.kafka_bootstrap or "localhost:9092"
    for role in roles or Role:
        name = user.replace("{role}", role)
        typer.echo(f"# {role}")
        for line in kafka_commands(kafka_rights(role, settings, subscriber), name, bootstrap):
            typer.echo(line)
        rights = redis_rights(role, settings)
        if rights is not None:
            typer.echo(redis_command(rights, name, settings.redis_cluster))
        typer.echo()
