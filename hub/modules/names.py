"""Names of parameters, from the name section that `wat2wasm --debug-names` and debug builds write."""

from hub.modules.reader import Budget, Reader
from shared.errors import BadRequest

_LOCALS = 2


def parameter_names(section: Reader | None, wanted: dict[int, int]) -> dict[int, tuple[str, ...]]:
    """{function index: names of its parameters} for the functions wanted ({index: number of parameters}).

    Only functions whose every parameter has a name of its own are there. A broken name section gives nothing: the
    specification wants errors in custom sections ignored.
    """
    if section is None:
        return {}
    # Debug builds name more locals than a module has functions; what is spent here must not refuse the module.
    section.budget = Budget()
    found: dict[int, tuple[str, ...]] = {}
    try:
        while section.left():
            kind = section.byte()
            part = section.part("name section")
            if kind == _LOCALS:
                found.update(_local_names(part, wanted))
    except BadRequest:
        return {}
    return found


def _local_names(part: Reader, wanted: dict[int, int]) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for _ in range(part.count(least=2)):
        function = part.u32()
        names: dict[int, str] = {}
        for _ in range(part.count(least=2)):
            local, name = part.u32(), part.name()
            if local < wanted.get(function, 0):
                names[local] = name
        if function in wanted and len(names) == wanted[function] == len(set(names.values())):
            found[function] = tuple(names[local] for local in sorted(names))
    return found
