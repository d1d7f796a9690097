"""The description of the routes as a page: no script, nothing from elsewhere."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jinja2 import Environment, Template

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ info.title }} {{ info.version }}</title>
<h1>{{ info.title }} {{ info.version }}</h1>
<p>{{ info.description }} For programs: <a href="/openapi.json">/openapi.json</a>.</p>
{% for path, operations in paths.items() %}{% for method, one in operations.items() %}
<h2 id="{{ method }}{{ path }}"><code>{{ method.upper() }} {{ path }}</code></h2>
<p>{{ one.description }}</p>
<p>Needs: {{ ways(one) }}.</p>
{% if one.parameters %}<ul>{% for p in one.parameters %}
<li><code>{{ p.name }}</code> (in the {{ p.in }}{{ ", required" if p.required }}):
{{ p.description or "" }} <code>{{ p.schema | json }}</code></li>{% endfor %}
</ul>{% endif %}
{% for kind, body in (one.requestBody or {}).get("content", {}).items() %}
<p>Body, {{ kind }}: {{ schema(body.schema or {}) }}</p>{% endfor %}
{% for status, response in one.responses.items() %}
<p>{{ status }}: {% for kind, body in (response.content or {}).items() %}{{ kind }}
{{ schema(body.schema or {}) }}{% else %}{{ response.description }}{% endfor %}</p>{% endfor %}
{% endfor %}{% endfor %}
<h1>Schemas</h1>
{% for name, one in components.schemas.items() %}
<h2 id="{{ name }}">{{ name }}</h2>
<p>{{ one.description or "" }}</p>
<dl>{% for key, value in (one.properties or {}).items() %}
<dt><code>{{ key }}</code></dt>
<dd>{{ value.description or "" }} <code>{{ value | json }}</code></dd>{% endfor %}
</dl>{% endfor %}
</html>
"""
_LINK = Environment(autoescape=True).from_string('<a href="#{{ name }}">{{ name }}</a>')


def docs_page(description: dict[str, Any]) -> str:
    """The page of an OpenAPI document."""
    return _template().render(description, schema=_schema, ways=_ways)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True)
    environment.filters["json"] = lambda value: json.dumps(_short(value))
    return environment.from_string(_PAGE)


def _short(schema: Any) -> Any:
    """A schema without what stands beside it already."""
    hidden = ("title", "description")
    return {name: value for name, value in schema.items() if name not in hidden}


def _schema(schema: dict[str, Any]) -> Any:
    from markupsafe import Markup

    if reference := schema.get("$ref", ""):
        return Markup(_LINK.render(name=reference.rpartition("/")[2]))
    return json.dumps(_short(schema))


def _ways(operation: dict[str, Any]) -> str:
    ways = operation.get("security", [])
    if not ways:
        return "nothing"
    scopes = {scope for way in ways for some in way.values() for scope in some}
    return f"the scope {min(scopes)}" if scopes else "to be known"
