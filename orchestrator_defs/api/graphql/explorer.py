"""GraphiQL, from the files that come with Dagster's webserver: it loads nothing from other networks."""

from importlib.resources import files

from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles

from orchestrator_defs.api.documentation import with_policy

FOLDER = "webapp/build/vendor/graphiql"
ASSETS = "/graphql/assets"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>GraphiQL</title>
<link rel="stylesheet" href="{assets}/graphiql.min.css">
<link rel="stylesheet" href="{assets}/graphiql-plugin-explorer-style.css">
<style>body {{ margin: 0 }} #graphiql {{ height: 100vh }}</style></head>
<body><div id="graphiql"></div>
<script src="{assets}/react.production.min.js"></script>
<script src="{assets}/react-dom.production.min.js"></script>
<script src="{assets}/graphiql.min.js"></script>
<script src="{assets}/graphiql-plugin-explorer.umd.js"></script>
<script>
const fetcher = GraphiQL.createFetcher({{ url: location.pathname }});
const plugins = [GraphiQLPluginExplorer.explorerPlugin()];
ReactDOM.createRoot(document.getElementById("graphiql")).render(
  React.createElement(GraphiQL, {{ fetcher, plugins, defaultEditorToolsVisibility: true }}));
</script></body></html>
"""


def page(prefix: str) -> Response:
    """The page, for a server whose paths begin with a prefix."""
    return with_policy(HTMLResponse(PAGE.format(assets=f"{prefix}{ASSETS}")))


def assets() -> StaticFiles:
    """Its scripts and styles."""
    return StaticFiles(directory=str(files("dagster_webserver").joinpath(FOLDER)))
