"""The README's tables of picture quality.

`quality` is from what `lmf-kernels eval DIR --scale 2 3 4 --json FILE` wrote: a file per test set, named after it,
under `bench/results/quality/`, or under `bench/results/quality/MODEL/` for a model that is not the default.
`robustness` is from `lmf-kernels eval DIR --robustness --scale 2 3 3.7 4 --json FILE`: a file per model under
`bench/results/robustness/`, named after the model. The pictures in DIR are not ours to distribute.
"""

import json
import pathlib

from .formats import table

RESULTS = pathlib.Path(__file__).resolve().parent / "results"
FOLDER = "the folder's pictures"
ROWS = (  # pictures and measure as `eval` names them, the README's words, decimals
    ("patterns", "largest mean error", "pixel patterns: largest error of a mean colour, 0 to 1", 3),
    ("patterns", "consistency", "pixel patterns: consistency, dB", 1),
    ("text, aliased", "consistency", "aliased text: consistency, dB", 1),
    ("line art, aliased", "consistency", "aliased line art: consistency, dB", 1),
    ("text, antialiased", "consistency", "antialiased text: consistency, dB", 1),
    ("line art, antialiased", "consistency", "antialiased line art: consistency, dB", 1),
    ("text, antialiased", "PSNR", "antialiased text: PSNR, dB", 2),
    ("line art, antialiased", "PSNR", "antialiased line art: PSNR, dB", 2),
    *((f"{FOLDER}, JPEG {quality}", measure, f"{{folder}}, JPEG {quality}: {words}", 2)
      for quality in (40, 75) for measure, words in (("PSNR", "PSNR, dB"), ("block edges", "block edges"))),
)


def quality(run):
    """PSNR (dB) and SSIM of bicubic and of the models that ship, by test set and scale. run: unused, as every table."""
    stored = [(path.stem, json.loads(path.read_text(encoding="utf-8")))
              for path in sorted((RESULTS / "quality").rglob("*.json"), key=lambda path: (path.stem, str(path)))]
    if not stored:
        return "\n"
    models = list(dict.fromkeys(sorted(result["model"] for _, result in stored)))
    means = {(name, mean["scale"], result["model"]): mean for name, result in stored for mean in result["means"]}
    rows = []
    for name, scale in dict.fromkeys((name, scale) for name, scale, _ in means):
        found = [means.get((name, scale, model)) for model in models]
        bicubic = next(mean["bicubic"] for mean in found if mean)
        rows.append([name, f"x{scale:g}", _cell(bicubic), *(_gain(mean) for mean in found)])
    heads = ["test set", "scale", "bicubic, dB (SSIM)", *(f"{model}, dB (SSIM), gain" for model in models)]
    return table(heads, rows) + f"\n<sub>{stored[0][1]['recipe']}.</sub>\n"


def _gain(mean):
    if mean is None:
        return "-"
    return f"{_cell(mean['model'])}, {mean['model']['psnr'] - mean['bicubic']['psnr']:+.2f}"


def _cell(score):
    return f"{score['psnr']:.2f} ({score['ssim']:.4f})"


def robustness(run):
    """What bicubic and the models that ship do to pictures that are no clean photographs. run: unused."""
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((RESULTS / "robustness").glob("*.json"))]
    if not stored:
        return "\n"
    models = sorted(result["model"] for result in stored)
    found = {(row["what"], row["measure"], row["scale"], name): row[method]
             for result in stored for row in result["summary"]
             for name, method in ((result["model"], "model"), ("bicubic", "bicubic"))}
    scales = list(dict.fromkeys(scale for _, _, scale, _ in found))
    rows = [[words.format(folder=stored[0]["folder"]),
             *(" / ".join(_number(found.get((what, measure, scale, name)), decimals) for name in ("bicubic", *models))
               for scale in scales)] for what, measure, words, decimals in ROWS]
    heads = [" / ".join(("bicubic", *models)), *(f"x{scale:g}" for scale in scales)]
    return table(heads, rows) + f"\n<sub>{stored[0]['recipe']}.</sub>\n"


def _number(value, decimals):
    return "-" if value is None else f"{value:.{decimals}f}"
