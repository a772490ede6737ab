"""Which columns were read, by what was read from them."""

from collections.abc import Iterable

from sklearn_codex._layouts.base import Form, Layout
from sklearn_codex._layouts.prompts import PromptColumns


def roles_of(layouts: Iterable[Layout], forms: Iterable[Form]) -> dict[str, list[str]]:
    """Return the columns of the prompt, the responses and the label, and the others that are read.

    A column that several layouts read differently is in the first role that it has. What a layout
    calls a response need not be a column: then the columns it is in are among the others.
    """
    layouts, forms = list(layouts), list(forms)
    within = [inner for layout in layouts for inner in getattr(layout, "layouts", ())]
    used = dict.fromkeys(name for layout in layouts for name in sorted(layout.used))
    prompts = [
        name
        for layout in (*layouts, *within)
        for value in vars(layout).values()
        if isinstance(value, PromptColumns)
        for name in value[:4]
    ]
    claims: dict[str, list[str]] = {
        "prompt": prompts,
        "responses": [name for form in forms for name in (form.first, form.second)],
        "label": [form.label for form in forms],
    }
    roles: dict[str, list[str]] = {}
    for role, names in claims.items():
        roles[role] = [name for name in dict.fromkeys(names) if name in used]
        used = {name: None for name in used if name not in roles[role]}
    return roles | {"others": list(used)}
