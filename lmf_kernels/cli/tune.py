"""`lmf-kernels tune OUT`: the Triton kernels' tiles and warps, measured on the GPU at hand."""

import click


@click.command()
@click.argument("out", metavar="OUT")
def tune(out):
    """Measure the Triton kernels' configurations on this GPU and write the fastest to OUT, a JSON file.

    LMF_TRITON_CONFIGURATIONS=OUT then makes the kernels use it. Neither has run on a GPU so far.
    """
    from ..backends.triton.tune import tune as measure_all
    from ..files import check_writable

    check_writable(out)
    measure_all(out, click.echo)
    click.echo(f"{out}: set LMF_TRITON_CONFIGURATIONS={out} to use it")
