"""Runs the lines of the tutorial that write models of PyKEEN and LibKGE for kg_import.

Neither is needed: stand-ins have the few calls that the lines make, over numbers made by hand and laid out as these
two libraries lay them out. Arguments: the tutorial, pykeen or libkge, complex or distmult, both or forward (with
inverse relations or without). The files are written into the present folder.
"""
import re
import sys
import types

tutorial, library, family, directions = sys.argv[1:]
LABELS = {"entities": ["a", "b", 'c, "d"\n'], "relations": ["r", "s"]}
ENTITIES = [1 + 2j, 3 + 4j, -1 + 0.5j]
RELATIONS, INVERSES = [0.5 - 1j, 1 + 0j], [2 + 1j, 1j]


class Tensor:
    """Rows of numbers: complex ones, pairs, or reals."""

    def __init__(self, rows, kind):
        self.rows, self.kind = rows, kind

    def is_complex(self):
        return self.kind == "complex"

    def detach(self):
        return self

    def flatten(self, start_dim):
        assert start_dim == 1
        return Tensor([[x for pair in row for x in pair] for row in self.rows], "real") if self.kind == "pairs" else self

    def tolist(self):
        return self.rows


def view_as_real(tensor):
    assert tensor.is_complex()
    return Tensor([[[x.real, x.imag] for x in row] for row in tensor.rows], "pairs")


def lay_out(numbers):
    """Two components a row, a number and its double, as the library keeps them; DistMult has their parts as four."""
    pairs = [[x, 2 * x] for x in numbers]
    if family == "complex" and library == "pykeen":
        return Tensor(pairs, "complex")
    if family == "complex":
        return Tensor([[x.real for x in row] + [x.imag for x in row] for row in pairs], "real")
    return Tensor([[part for x in row for part in (x.real, x.imag)] for row in pairs], "real")


both = directions == "both"
sys.modules["torch"] = types.SimpleNamespace(view_as_real=view_as_real)
blocks = re.findall(r"```sh not run:[^\n]*\n(import csv.*?|from kge.*?)```", open(tutorial, encoding="utf-8").read(), re.S)
pykeen, libkge = blocks
if library == "pykeen":
    rows = [x for pair in zip(RELATIONS, INVERSES) for x in pair] if both else RELATIONS
    model = types.SimpleNamespace(entity_representations=[lambda indices: lay_out(ENTITIES)],
                                  relation_representations=[lambda indices: lay_out(rows)])
    model.eval = lambda: model
    training = types.SimpleNamespace(create_inverse_triples=both, **{
        name: {label: i for i, label in enumerate(LABELS[of])}
        for name, of in (("entity_to_id", "entities"), ("relation_to_id", "relations"))})
    exec(pykeen, {"result": types.SimpleNamespace(training=training, model=model)})
else:
    def embedder(numbers):
        return lambda: types.SimpleNamespace(embed_all=lambda: lay_out(numbers))

    model = types.SimpleNamespace(
        get_s_embedder=embedder(ENTITIES), get_p_embedder=embedder(RELATIONS + INVERSES if both else RELATIONS),
        dataset=types.SimpleNamespace(num_relations=lambda: len(RELATIONS), entity_ids=lambda: LABELS["entities"],
                                      relation_ids=lambda: LABELS["relations"]))
    for name in ("kge", "kge.model", "kge.util", "kge.util.io"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["kge.model"].KgeModel = types.SimpleNamespace(create_from=lambda checkpoint: model)
    sys.modules["kge.util.io"].load_checkpoint = lambda path: path
    writer = {}
    exec(pykeen[:pykeen.index("\ntraining,")], writer)
    exec(libkge, {"write": writer["write"]})
