"""The answer of inspect(): what a module exports, imports and needs, as values and as JSON."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Signature:
    """Types as words ("i32", "i64", "f32", "f64" and those wasm3 lacks)."""

    params: tuple[str, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """Least and most: 64-KiB pages of a memory, elements of a table; most is None when it is open."""

    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Export:
    """One export; signature for functions only, param_names where the name section has all of them, else ()."""

    name: str
    kind: str
    signature: Signature | None
    param_names: tuple[str, ...] = ()

    def to_doc(self) -> dict[str, Any]:
        doc: dict[str, Any] = {"name": self.name, "kind": self.kind, **_signature_doc(self.signature)}
        if self.param_names:
            doc["param_names"] = list(self.param_names)
        return doc


@dataclass(frozen=True, slots=True)
class Import:
    """One import; signature for functions only."""

    module: str
    name: str
    kind: str
    signature: Signature | None

    def to_doc(self) -> dict[str, Any]:
        return {"module": self.module, "name": self.name, "kind": self.kind, **_signature_doc(self.signature)}


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    """What a module is like. memory, table: own or imported, None without; start: a function's index or None;
    features: sorted words of what it uses beyond the MVP, found by validate() alone."""

    exports: tuple[Export, ...]
    imports: tuple[Import, ...]
    memory: Limits | None
    table: Limits | None
    start: int | None
    features: tuple[str, ...]
    custom_sections: tuple[str, ...]
    size_bytes: int

    def function(self, name: str) -> Export | None:
        """The exported function of that name."""
        return next((item for item in self.exports if item.name == name and item.kind == "func"), None)

    def to_doc(self) -> dict[str, Any]:
        """As JSON: exports [{name, kind, params, results, param_names}], imports [{module, name, kind, params,
        results}], memory {min_pages, max_pages}, table {min, max}, start, features, custom_sections, size_bytes."""
        memory, table = self.memory, self.table
        return {
            "exports": [item.to_doc() for item in self.exports],
            "imports": [item.to_doc() for item in self.imports],
            "memory": memory and {"min_pages": memory.least, "max_pages": memory.most},
            "table": table and {"min": table.least, "max": table.most},
            "start": self.start,
            "features": list(self.features),
            "custom_sections": list(self.custom_sections),
            "size_bytes": self.size_bytes,
        }


def _signature_doc(signature: Signature | None) -> dict[str, Any]:
    if signature is None:
        return {}
    return {"params": list(signature.params), "results": list(signature.results)}
