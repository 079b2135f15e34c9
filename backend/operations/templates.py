"""Squad templates: YAML files that ship with the product, read once."""

from functools import cache
from pathlib import Path
from typing import Final

import yaml

from agentsquad.schemas.squads import Template, Templates
from backend.core.errors import Invalid

FOLDER: Final = Path(__file__).with_name("templates")


@cache
def every() -> Templates:
    """All templates, by name."""
    files = sorted(FOLDER.glob("*.yaml"))
    return Templates(
        items=[Template.model_validate(yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files]
    )


def get(name: str) -> Template:
    """One template.

    Raises:
        Invalid: there is none of that name.
    """
    found = next((template for template in every().items if template.name == name), None)
    if found is None:
        names = ", ".join(template.name for template in every().items)
        raise Invalid(f"There is no template {name}; there are {names}.", field="body.template")
    return found
