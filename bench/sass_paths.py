"""Instructions that one pass of a kernel executes, from its machine code.

    python -m bench.sass_paths [FILE ...] [--arch sm_90] [--kernel REGEX]

FILE as for bench.sass. The tensor-core kernels' outer loop takes an item of work and runs the corner loop of one number
of tiles. For each corner loop this prints the shortest and the longest way through it, and through the rest of the
outer loop around it. The shortest way jumps over whatever has a branch, such as the LR skip; the longest takes the
longer side of each branch, such as the slowest of the stores. An evaluation is 16 pixels at one corner: an item of N
tiles has 4 N.
"""

import argparse
import collections
import pathlib
import re

from . import sass
from .formats import table

_LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(@!?\w+\s+)?(([A-Z][A-Z0-9]*)[^;]*);")
_TARGET = re.compile(r"\b0x([0-9a-f]+)\s*$")
CORNERS = 4
_ENDS = ("BRA", "BRX", "EXIT", "RET")


class Flow:
    """Basic blocks: `code` {start: opcodes}, `after` {start: [starts of the blocks that can follow]}."""

    def __init__(self, lines):
        code = [(int(m[1], 16), bool(m[2]), m[4], m[3]) for m in map(_LINE.match, lines) if m]
        following = {one[0]: other[0] for one, other in zip(code, code[1:])}
        jumps, tables = {}, []
        for address, guarded, opcode, text in code:
            if opcode not in _ENDS and not text.startswith("CALL.REL.NOINC"):  # that one is a far branch
                continue
            target = _TARGET.search(text.strip()) if opcode in ("BRA", "CALL") else None
            conditional = guarded or bool(re.match(r"BRA(\.\w+)* !?U?P", text))
            jumps[address] = [int(target[1], 16)] if target else []
            if conditional and address in following:
                jumps[address].append(following[address])
            if opcode == "BRX":
                tables.append(address)
        # A jump table's targets are not in the machine code. They are blocks to which nothing else leads.
        known = {target for targets in jumps.values() for target in targets}
        for address in jumps:
            alone = following.get(address)
            if alone not in known and alone is not None:
                for table_at in tables:
                    if table_at < alone:
                        jumps[table_at].append(alone)
        starts = {code[0][0]} | {target for targets in jumps.values() for target in targets}
        self.code, self.after, start = {}, {}, None
        for address, _, opcode, _ in code:
            if address in starts:
                if start is not None and start not in self.after:
                    self.after[start] = [address]
                start, self.code[address] = address, collections.Counter()
            self.code[start][opcode] += opcode != "NOP"
            if address in jumps:
                self.after.setdefault(start, jumps[address])
        self.after.setdefault(start, [])

    def loops(self):
        """[(start, {starts of its blocks})], the smallest first."""
        before = collections.defaultdict(set)
        for block, following in self.after.items():
            for other in following:
                before[other].add(block)
        found = collections.defaultdict(set)
        for block, start in self._backward():
            body, todo = {start}, [block]
            while todo:
                if (one := todo.pop()) not in body:
                    body.add(one)
                    todo += before[one]
            found[start] |= body
        return sorted(found.items(), key=lambda loop: len(loop[1]))

    def _backward(self):
        """(block, start of the loop that it closes): the edges to a block on the way that a depth-first search took."""
        entry = min(self.code)
        way, open_blocks, seen = [(entry, iter(self.after[entry]))], {entry}, {entry}
        while way:
            block, following = way[-1]
            for other in following:
                if other in open_blocks:
                    yield block, other
                elif other not in seen:
                    seen.add(other)
                    open_blocks.add(other)
                    way.append((other, iter(self.after[other])))
                    break
            else:
                open_blocks.remove(block)
                way.pop()

    def ways(self, start, body, through=None, closed=frozenset()):
        """Ways once around a loop, {HMMA: (shortest, longest)}, as Counters. through: a loop inside it (start, body),
        which counts nothing and must be passed; closed: other loops' blocks, which are not entered."""
        passed = through[1] if through else frozenset()
        memory = {}

        def walk(block, seen):
            if (block, seen) in memory:
                return memory[block, seen]
            memory[block, seen] = found = {}  # what other backward branches find
            seen_now, ends = seen or block in passed, []
            for other in self.after[block]:
                if other == start:
                    if seen_now or not through:
                        ends.append({0: (collections.Counter(),) * 2})
                elif other in body - closed and not (through and other == through[0] and block in passed):
                    ends.append(walk(other, seen_now))
            own = collections.Counter() if block in passed else self.code[block]
            for ways in ends:
                for products, (short, long) in ways.items():
                    new, key = (own + short, own + long), products + own["HMMA"]
                    old = found.get(key, new)
                    found[key] = (min(old[0], new[0], key=lambda way: way.total()),
                                  max(old[1], new[1], key=lambda way: way.total()))
            return found

        return walk(start, False)


def passes(lines, least):
    """[(HMMA, shortest, longest)] of a tensor-core kernel by columns: an item of work, as Counters. least: HMMA of the
    smallest item at one corner, by which it is known how many corners a pass of the corner loops has."""
    flow = Flow(lines)
    with_products = [loop for loop in flow.loops() if any(flow.code[block]["HMMA"] for block in loop[1])]
    if not with_products:
        return []
    outer, inner = with_products[-1], with_products[:-1]
    inner = [loop for loop in inner if not any(loop[1] < other[1] for other in inner)]
    blocks = frozenset().union(*(loop[1] for loop in inner))
    rows = [(products, short, long)
            for products, (short, long) in flow.ways(*outer, closed=blocks).items() if products]
    corners = [flow.ways(*loop) for loop in inner]
    times = CORNERS * least // min((min(corner) for corner in corners), default=least)
    for loop, corner in zip(inner, corners):
        others = frozenset().union(*(other[1] for other in inner if other is not loop))
        rest = flow.ways(*outer, through=loop, closed=others)
        if len(corner) == 1 and list(rest) == [0]:  # its way leads to no other product
            (products, ways), (short, long) = next(iter(corner.items())), rest[0]
            rows.append((times * products, _times(ways[0], times) + short, _times(ways[1], times) + long))
    return sorted(rows, key=lambda row: row[0])


def _times(way, times):
    return collections.Counter({opcode: times * count for opcode, count in way.items()})


def items(file, architecture, kernel=""):
    """[(kernel's name, tiles, shortest, longest)] of the tensor-core kernels by columns in a file. Counters of an item,
    which has 4 evaluations a tile."""
    functions = sass.functions(sass.cuobjdump("-sass", file))
    names, found = sass.readable([symbol for _, symbol, _ in functions]), []
    for name, (of, _, lines) in zip(names, functions):
        layers = re.search(r"MmaColumns.*(linear|fourier), ([1-9])", name)
        if of != architecture or not layers or not re.search(kernel, name):
            continue
        each = 2 * (int(layers[2]) - (layers[1] == "linear")) + 1  # products of an evaluation
        least = 2 if "true" in name else 1  # tiles
        for products, short, long in passes(lines, each * least):
            if products % (CORNERS * each) == 0:  # else no warp goes this way
                found.append((name, products // (CORNERS * each), short, long))
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="default: the installed lmf_kernels._cuda")
    parser.add_argument("--arch", default="sm_90", help="architecture  [default: sm_90]")
    parser.add_argument("--kernel", default="MmaColumns", help="regular expression for names  [default: MmaColumns]")
    options = parser.parse_args(arguments)
    rows = []
    for file in options.files or [sass.installed()]:
        for name, tiles, short, long in items(file, options.arch, options.kernel):
            counts = short.total(), long.total()
            rows.append([name, str(tiles), *map(str, counts), *(f"{n / (CORNERS * tiles):.1f}" for n in counts)])
    print(table(["kernel", "tiles", "item, shortest", "longest", "evaluation, shortest", "longest"], rows), end="")


if __name__ == "__main__":
    main()
