"""The description of the service as one page, complete in itself: no script, style or font comes from elsewhere."""

import json
from html import escape
from typing import Any

Schema = dict[str, Any]


def docs_page(description: Schema) -> str:
    """An OpenAPI description as HTML, with a form to try the service."""
    info = description["info"]
    operations = [
        _operation(path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = description.get("components", {}).get("schemas", {})
    return _PAGE.format(
        title=escape(f"{info['title']} {info['version']}"),
        description=escape(info["description"]),
        operations="\n".join(operations),
        schemas="\n".join(_schema(name, schema) for name, schema in schemas.items()),
    )


def _operation(path: str, method: str, operation: Schema) -> str:
    responses = [
        f"<tr><td>{escape(status)}</td><td>{escape(response['description'])}</td></tr>"
        for status, response in operation["responses"].items()
    ]
    forms = ", ".join(operation.get("requestBody", {}).get("content", {}))
    body = f"<p>Body: {escape(forms)}</p>" if forms else ""
    token = "<p>With a token, if the service has one: <code>Authorization: Bearer TOKEN</code></p>"
    return (
        f'<section><h2><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h2>'
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>{body}"
        f"{token if operation.get('security') else ''}"
        f"<table><tr><th>status</th><th>meaning</th></tr>{''.join(responses)}</table></section>"
    )


def _schema(name: str, schema: Schema) -> str:
    rows = [
        f"<tr><td><code>{escape(field)}</code></td><td>{escape(_kind(value))}</td>"
        f"<td>{escape(value.get('description', ''))}</td></tr>"
        for field, value in schema.get("properties", {}).items()
    ]
    return (
        f'<section id="{escape(name)}"><h3>{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>'
        f"<table><tr><th>field</th><th>kind</th><th>meaning</th></tr>{''.join(rows)}</table></section>"
    )


def _kind(schema: Schema) -> str:
    """For example "list of FaceAnswer"."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        inner = schema.get("items", {})
        return f"list of {_kind(inner)}" if inner else "list"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{_kind(schema['additionalProperties'])} by name"
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    return str(schema.get("type", "anything"))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }}
  h2 {{ font-size: 1.15rem; margin-top: 2.5rem; }} h3 {{ margin-top: 2rem; }}
  .method {{ background: #1f6f78; color: white; border-radius: .3rem; padding: .1rem .5rem; font-size: .9rem; }}
  table {{ border-collapse: collapse; width: 100%; font-size: .93rem; }}
  td, th {{ text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; }}
  td, th {{ border-bottom: 1px solid var(--line); }}
  pre, form {{ border: 1px solid var(--line); border-radius: .4rem; padding: .8rem; overflow: auto; }}
  form > * {{ margin: .2rem .5rem .2rem 0; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{description} The description for programs: <a href="openapi.json">openapi.json</a>.</p>
<form id="try">
  <b>Try it</b> <input type="file" id="file" accept="image/*" required aria-label="image">
  <input type="password" id="token" placeholder="token, if there is one" autocomplete="off" aria-label="token">
  <button>Send</button>
</form>
<pre id="answer" hidden></pre>
<p>From a shell:</p>
<pre><code>curl --data-binary @photo.jpg <span class="here"></span>/faces
curl -F image=@photo.jpg <span class="here"></span>/faces</code></pre>
{operations}
<h2>What comes back</h2>
{schemas}
<script>
  const here = location.href.replace(/[/](docs)?([?#].*)?$/, "");
  for (const place of document.querySelectorAll(".here")) place.textContent = here;
  document.getElementById("try").addEventListener("submit", async (event) => {{
    event.preventDefault();
    const token = document.getElementById("token").value, output = document.getElementById("answer");
    output.hidden = false;
    output.textContent = "...";
    try {{
      const response = await fetch("faces", {{
        method: "POST", body: document.getElementById("file").files[0],
        headers: token ? {{ Authorization: "Bearer " + token }} : {{}},
      }});
      output.textContent = response.status + "\\n" + JSON.stringify(await response.json(), null, 2);
    }} catch (error) {{ output.textContent = String(error); }}
  }});
</script>
</body>
</html>
"""
