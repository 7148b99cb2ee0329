"""How a program asks for a flag: a snippet in each language, filled in with the flag's own key and type. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_KINDS = {"boolean": ("boolean", "Boolean"), "string": ("string", "String"), "number": ("integer", "Number")}
_OBJECT = ("object", "Object")


@dataclass(frozen=True, slots=True)
class Snippet:
    """A program that asks: `name` for the URL, `title` for people, what to install, and the code."""

    name: str
    title: str
    install: str
    code: str
    about: str


def snippets(key: str, type_: str, off: Any, base_url: str, context: Mapping[str, Any]) -> list[Snippet]:
    """Return a snippet per language; `off` is the value that stands in where nothing answers, as it is served."""
    return [
        _curl(key, base_url, context),
        _native(key, type_, off, base_url),
        _python(key, type_, off, base_url),
        _web(key, type_, off, base_url),
        _javascript(key, off, base_url),
    ]


def _curl(key: str, base_url: str, context: Mapping[str, Any]) -> Snippet:
    body = json.dumps({"context": dict(context)}, ensure_ascii=False)
    code = (
        f"curl {base_url}/ofrep/v1/evaluate/flags/{key} \\\n"
        "  -H 'Authorization: Bearer YOUR_KEY' \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        f"  -d '{body}'"
    )
    return Snippet("curl", "curl", "", code, "OFREP, the open protocol of OpenFeature: any language speaks it.")


def _native(key: str, type_: str, off: Any, base_url: str) -> Snippet:
    code = (
        "from trackside_client.flags import Flags\n\n"
        f'flags = Flags("{base_url}", "YOUR_SERVER_KEY")  # once a process\n'
        f'value = flags.{type_}({_py(key)}, {_py(off)}, user="u_42", account="acme", plan="pro")'
    )
    about = "Evaluates in your process, in less than a microsecond; rules follow by themselves."
    return Snippet("python", "Python", "pip install 'trackside-client[flags]'", code, about)


def _python(key: str, type_: str, off: Any, base_url: str) -> Snippet:
    # asked for with the other kind of number, OpenFeature answers the default: the types do not match
    method = "float" if isinstance(off, float) else _KINDS.get(type_, _OBJECT)[0]
    code = (
        "from openfeature import api\n"
        "from openfeature.evaluation_context import EvaluationContext\n"
        "from openfeature.contrib.provider.ofrep import OFREPProvider\n\n"
        f'api.set_provider(OFREPProvider("{base_url}", headers_factory=lambda: '
        '{"Authorization": "Bearer YOUR_SERVER_KEY"}))\n'
        'who = EvaluationContext(targeting_key="u_42", attributes={"account": "acme", "plan": "pro"})\n'
        f"value = api.get_client().get_{method}_value({_py(key)}, {_py(off)}, who)"
    )
    install = "pip install openfeature-sdk openfeature-provider-ofrep"
    return Snippet("openfeature-python", "OpenFeature, Python", install, code, "The open standard's SDK, over OFREP.")


def _web(key: str, type_: str, off: Any, base_url: str) -> Snippet:
    method = _KINDS.get(type_, _OBJECT)[1]
    code = (
        'import { OpenFeature } from "@openfeature/web-sdk";\n'
        'import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";\n\n'
        'await OpenFeature.setContext({ targetingKey: "u_42", account: "acme" });\n'
        "await OpenFeature.setProviderAndWait(new OFREPWebProvider({\n"
        f'  baseUrl: "{base_url}",\n'
        '  headers: [["Authorization", "Bearer YOUR_CLIENT_KEY"]],\n'
        "}));\n"
        f"const value = OpenFeature.getClient().get{method}Value({json.dumps(key)}, {json.dumps(off)});"
    )
    install = "npm install @openfeature/web-sdk @openfeature/ofrep-web-provider"
    about = "For browsers: a client key evaluates only, and never sees a rule."
    return Snippet("web", "OpenFeature, web", install, code, about)


def _javascript(key: str, off: Any, base_url: str) -> Snippet:
    code = (
        f"const answer = await fetch({json.dumps(f'{base_url}/ofrep/v1/evaluate/flags/{key}')}, {{\n"
        '  method: "POST",\n'
        '  headers: { "Content-Type": "application/json", Authorization: "Bearer YOUR_KEY" },\n'
        '  body: JSON.stringify({ context: { targetingKey: "u_42", account: "acme" } }),\n'
        "});\n"
        f"const value = answer.ok ? (await answer.json()).value : {json.dumps(off)};"
    )
    return Snippet("javascript", "JavaScript", "", code, "Without a library; on a server or in a browser.")


def _py(value: Any) -> str:
    return repr(value) if not isinstance(value, str) else json.dumps(value, ensure_ascii=False)
