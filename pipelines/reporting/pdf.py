"""A report in print, through WeasyPrint, which the `pdf` extra installs."""

from __future__ import annotations

from importlib import import_module

from pipelines.errors import UsageError


def check_pdf() -> None:
    """Import what makes a PDF, before anything else is begun.

    Raises:
        UsageError: when WeasyPrint, or the Pango library that it needs, is not installed.
    """
    try:
        import_module("weasyprint")
    except ImportError as error:
        raise UsageError("--pdf needs WeasyPrint; install it with `pip install 'fpgan[pdf]'`") from error
    except OSError as error:
        raise UsageError("--pdf needs the Pango library; on Debian and Ubuntu: apt install libpango-1.0-0") from error


def to_pdf(page: str) -> bytes:
    """A self-contained page as PDF bytes."""
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    pdf: bytes = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols=("data",))).write_pdf()
    return pdf
