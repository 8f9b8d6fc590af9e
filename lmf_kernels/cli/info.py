"""`lmf-kernels info`: versions, how the compiled modules were built, and what can run here."""

import click


@click.command()
def info():
    """Show versions, compiled modules and backends."""
    import torch

    from .. import build_info
    from ..backends import describe, evidence

    for line in build_info.lines():
        click.echo(line)
    click.echo(f"torch {torch.__version__}, {torch.get_num_threads()} CPU threads")
    click.echo("backends:")
    rows = describe()
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        families = f"; runs {', '.join(row['families'])}" if row["available"] else ""
        click.echo(f"  {row['name']:{width}}  {'yes' if row['available'] else 'no '}  {row['detail']}{families}")
        if row["measured"] is not None:
            told = (f"measured on GPUs in {row['measured']} cases: auto takes it where it was fastest"
                    if row["measured"] else "no measurement on a GPU comes with this version")
            click.echo(f"  {'':{width}}       {told}")
    for entry in evidence.entries():
        click.echo(f"  measured  {entry}")
    for line in _selfchecks():
        click.echo(line)


def _selfchecks():
    """What self-checks on this machine's GPUs found, in lines; where measured.json is silent, auto goes by it."""
    import torch

    from ..selfcheck import report, verdicts

    devices = [torch.device("cuda", k) for k in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    for store in dict.fromkeys(map(verdicts.store_of, devices)):
        yield f"self-check on {report.headline(store.about)}:{'' if store.known else ' none yet'}"
        yield from (f"  {verdict}" for _, verdict in sorted(store.known.items()))
