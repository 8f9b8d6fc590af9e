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
                    if row["measured"] else "it has never run on a GPU: auto leaves it alone")
            click.echo(f"  {'':{width}}       {told}")
    for entry in evidence.entries():
        click.echo(f"  measured  {entry}")
