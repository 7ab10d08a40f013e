"""What a wasm module offers and wants: the structural gate of every upload, without a look into function bodies."""

from collections.abc import Iterable

from hub.modules.info import Export, ModuleInfo
from hub.modules.names import parameter_names
from hub.modules.walk import KINDS, Walk, walk


def inspect(data: bytes) -> ModuleInfo:
    """What a core module offers and wants; features stays empty, since only validate() reads the bodies.

    TooLarge over 8 MiB; BadRequest (code `bad_module`) with one sentence for anything that is no core module of
    version 1, is cut short, has bytes left over or sections twice or out of order.
    """
    return describe(walk(data))


def describe(module: Walk, features: Iterable[str] = ()) -> ModuleInfo:
    """The answer for a module that was walked."""
    return ModuleInfo(
        exports=tuple(_exports(module)),
        imports=tuple(module.imports),
        memory=module.memories[0] if module.memories else None,
        table=module.tables[0] if module.tables else None,
        start=module.start,
        features=tuple(sorted(features)),
        custom_sections=tuple(module.custom),
        size_bytes=len(module.data),
    )


def _exports(module: Walk) -> list[Export]:
    wanted = {index: len(module.signature(index).params) for _, kind, index in module.exports if kind == 0}
    names = parameter_names(module.name_section, wanted)
    return [
        Export(name, "func", module.signature(index), names.get(index, ()))
        if kind == 0
        else Export(name, KINDS[kind], None)
        for name, kind, index in module.exports
    ]
