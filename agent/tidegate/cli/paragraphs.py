"""What a command says of itself, as paragraphs that a terminal of any width fills."""

import inspect

import typer


def fill_paragraphs(app: typer.Typer) -> None:
    """Take the line breaks of the source out of the help of all commands below `app`.

    typer takes them out of the first paragraph alone, and breaks the others where the source and the terminal do.
    """
    for command in app.registered_commands:
        source = command.help or inspect.getdoc(command.callback)
        if source:
            command.help = "\n\n".join(" ".join(each.split()) for each in source.split("\n\n"))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            fill_paragraphs(group.typer_instance)
