"""The report as one HTML page that needs no network and computes what-ifs by itself."""

from agentflow.report.page.render import Extra, render_page

__all__ = ["Extra", "render_page"]
