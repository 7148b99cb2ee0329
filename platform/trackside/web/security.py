"""Security headers of every answer, and cookies that are safe by default."""

from datetime import timedelta

from flask import Flask, Response, request

from trackside.settings import Settings


def content_security_policy(settings: Settings) -> str:
    """Return the policy: our own files only, and the stream to connect to."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            f"connect-src 'self' {settings.stream_url}",
            "font-src 'self'",
            "manifest-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        )
    )


def secure(app: Flask, settings: Settings) -> None:
    """Set the cookies' flags and add the headers to each answer of `app`."""
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME="trackside_session",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.secure,
        PERMANENT_SESSION_LIFETIME=timedelta(days=settings.session_absolute_days),
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as its session: a page left open overnight still saves
    )
    headers = {
        "Content-Security-Policy": content_security_policy(settings),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    }
    if settings.secure:
        headers["Strict-Transport-Security"] = "max-age=31536000"

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        if request.endpoint != "static":
            # pages hold customers' data: no shared or disk cache keeps them
            response.headers.setdefault("Cache-Control", "no-store")
        return response
