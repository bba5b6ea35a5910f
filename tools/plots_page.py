"""Print a template for pages of `dvc plots` that asks no host for its scripts.

Run with the Python of `.venv-dvc` (`make dvc-env` does): DVC's own template takes Vega from a
content delivery network, this one holds it.
"""

import vl_convert

PAGE = """<!DOCTYPE html>
<html>
<head>
    <meta charset="utf-8">
    {refresh_tag}
    <title>DVC plots</title>
    <script>(() => {SCRIPT})()</script>
    <style>table { border-spacing: 15px; } img { max-width: 100%; }</style>
</head>
<body>
    {plot_divs}
</body>
</html>"""

if __name__ == "__main__":
    print(PAGE.replace("SCRIPT", vl_convert.javascript_bundle()))
