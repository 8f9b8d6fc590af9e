"""The options of the published models, under their published names. Widths and depths come from the weights."""

from typing import NamedTuple


class Options(NamedTuple):
    """Options in a checkpoint's args. A model ignores those that it does not have."""

    local_ensemble: bool = True  # blend four neighbouring cells (else: the nearest one)
    feat_unfold: bool = True  # LIIF, LM-LIIF: a cell's code is its 3x3 neighbourhood of features
    cell_decode: bool = True  # the network sees the size of a query's pixel
    mod_input: bool = True  # LMF: the latent MLP also gives the render MLP's code (else: the features themselves)
    mod_scale: bool = True  # LMF: layers are modulated by scales
    mod_shift: bool = True  # LMF: layers are modulated by shifts
    multi_scale: tuple = (2,)  # LM-CiaoSR: the scales of the non-local attention, of 1 to 4; () leaves it out
    softmax_scale: float = 1  # LM-CiaoSR: divides the logits of the attention over a cell's surroundings

    @classmethod
    def from_args(cls, args):
        """The options that a checkpoint's args give; an absent one is on. LM-CiaoSR names some of them differently."""
        render = args["imnet_q"] if "imnet_q" in args else args["imnet_spec"]
        given = {**args, **render["args"]}
        if "local_size" in args:
            given["local_ensemble"] = args["local_size"] == 2
        if "multi_scale" in args:
            given["multi_scale"] = tuple(args["multi_scale"])
        if not args.get("non_local_attn", True):
            given["multi_scale"] = ()
        return cls(**{name: given[name] for name in cls._fields if name in given})

    @property
    def modulation_count(self):
        """Modulations per hidden channel: 2 with scales and shifts, 1 with either."""
        return int(self.mod_scale) + int(self.mod_shift)


class SliceOptions(NamedTuple):
    """Options of DIIF in a checkpoint's args. Widths and depths come from the weights."""

    slicing: str = "linear"  # "linear": a row of a cell is a slice; "constant": the whole cell
    slice_ensemble: bool = True  # blend the slice vectors of a cell's four vertices (else: one vector a slice)
