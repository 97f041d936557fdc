"""Settings: the only reader of the environment. Every variable stands in .env.example and docs/runbook.md."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from costrouter import embedded, policy
from costrouter.broker import broker_of
from costrouter.environment import Environment

BASE_DIR = Path(__file__).resolve().parent.parent

env = Environment()
env.read_file(BASE_DIR / ".env")

VAR_DIR = env.folder("COSTROUTER_VAR", default=BASE_DIR / "var")
DATABASE_URL = env.str("DATABASE_URL", default="")
REDIS_URL = env.str("REDIS_URL", default="")

# The embedded default (SQLite, one process) keeps its generated secrets in a file; a real installation brings its own.
EMBEDDED = DATABASE_URL == ""
if EMBEDDED:
    try:
        env.read_file(embedded.secrets_file(VAR_DIR))
    except OSError as error:
        raise ImproperlyConfigured(f"COSTROUTER_VAR: {error.filename} cannot be used: {error.strerror}.") from error
    DATABASE_URL = f"sqlite:///{VAR_DIR / 'costrouter.sqlite3'}"


def _secret(name: str) -> str:
    value: str = env.str(name, default="")
    if len(value) < 32:
        raise ImproperlyConfigured(
            f"{name} must hold at least 32 characters; see docs/runbook.md for how to generate one."
        )
    return value


def _master_keys(text: str) -> dict[str, bytes]:
    """`id:base64,id:base64` -> {id: 32 bytes}; the first one seals, all of them open."""
    keys = {}
    for item in text.split(","):
        name, _colon, encoded = item.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if not name or len(key) != 32:
            raise ImproperlyConfigured("MASTER_KEYS must be `id:base64-of-32-bytes`, comma-separated.")
        keys[name] = key
    return keys


def _broker(url: str) -> tuple[str, dict[str, Any] | None]:
    try:
        return broker_of(url) if url else ("memory://", None)
    except ValueError as error:
        raise ImproperlyConfigured(f"REDIS_URL: {error}; see docs/runbook.md.") from error


def _database(url: str) -> dict[str, Any]:
    if not url.startswith(("postgres://", "postgresql://", "sqlite:///")):
        raise ImproperlyConfigured("DATABASE_URL begins with postgres:// or sqlite:///; see docs/runbook.md.")
    try:
        config: dict[str, Any] = env.db_url_config(url)
    except ValueError as error:
        raise ImproperlyConfigured(f"DATABASE_URL: {error}; see docs/runbook.md.") from error
    return config


def _mail() -> dict[str, Any]:
    try:
        config: dict[str, Any] = env.email_url("EMAIL_URL")
    except (ValueError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(f"EMAIL_URL: {str(error).strip()}; see docs/runbook.md.") from error
    return config


DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = _secret("SECRET_KEY")
KEY_PEPPERS = [pepper.encode() for pepper in _secret("KEY_PEPPERS").split(",")]
MASTER_KEYS = _master_keys(_secret("MASTER_KEYS"))
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000").rstrip("/")

# --- the gateway's own -----------------------------------------------------------------------------------------------

MAX_BODY_BYTES = env.int("MAX_BODY_BYTES", default=20 * 1024 * 1024)
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])
"""Networks whose X-Forwarded-For is believed; without any, the peer's address is the client's."""
CHANNEL_NETWORKS = env.list("CHANNEL_NETWORKS", default=["127.0.0.0/8", "::1/128"] if EMBEDDED else [])
"""Networks that are not public but that channels may still reach, also by plain http."""
MAX_OPEN_REQUESTS = env.int("MAX_OPEN_REQUESTS", default=4000)
"""Requests that a process has open at once; the next ones are refused with 503."""
PAGES_AT_ONCE = env.int("PAGES_AT_ONCE", default=8)
"""Pages that a process makes at once; the next ones wait for their turn."""
DRAIN_SECONDS = env.float("DRAIN_SECONDS", default=60.0)
"""How long a stopping process lets what is open go on."""
SHOW_CHANNELS = env.bool("SHOW_CHANNELS", default=True)
"""Whether tenants see the names of the channels that served them."""
SHOW_COSTS = env.bool("SHOW_COSTS", default=False)
"""Whether tenants see what each route was expected to cost the operator."""
HAS_MAIL = env.str("EMAIL_URL", default="") != ""
TRIAL_CREDIT = env.str("TRIAL_CREDIT", default="5.00")
"""Currency units granted to a new tenant."""
TRIAL_AFTER_CONFIRMATION = env.bool("TRIAL_AFTER_CONFIRMATION", default=HAS_MAIL or not EMBEDDED)
"""Whether that waits until who signed up has confirmed an address."""
TRIALS_PER_NETWORK = env.int("TRIALS_PER_NETWORK", default=3)
"""Trial credits a day for the sign-ups of one network (/24, /48)."""
CONFIRM_ABOVE = env.dict("CONFIRM_ABOVE", default={"USD": "1000", "VND": "25000000"})
"""Currency units above which an operator's posting to a wallet is asked for once more."""
GRANT_TWO_PERSONS_ABOVE = env.dict("GRANT_TWO_PERSONS_ABOVE", default={"USD": "10000", "VND": "250000000"})
"""Currency units above which it waits for the approval of another operator."""
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
"""Empty: no card payments. billing/payments/gateways.py says what has to fit together."""
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="https://api.stripe.com").rstrip("/")
BANK_ACCOUNT = env.str("BANK_ACCOUNT", default="")
"""Empty: no bank transfers."""
BANK_ACCOUNT_NAME = env.str("BANK_ACCOUNT_NAME", default="")
BANK_BIN = env.str("BANK_BIN", default="")
BANK_NAME = env.str("BANK_NAME", default="")
BANK_WEBHOOK_SECRET = env.str("BANK_WEBHOOK_SECRET", default="")
BANK_QUOTE_MINUTES = env.int("BANK_QUOTE_MINUTES", default=60)
TOP_UP_MIN = env.dict("TOP_UP_MIN", default={"USD": "5", "VND": "100000"})
TOP_UP_MAX = env.dict("TOP_UP_MAX", default={"USD": "5000", "VND": "50000000"})
"""Currency units of one top-up."""
TOP_UP_BONUS_PERCENT = env.int("TOP_UP_BONUS_PERCENT", default=0)
REFUND_APPROVAL_ABOVE = env.dict("REFUND_APPROVAL_ABOVE", default={"USD": "200", "VND": "5000000"})
"""Currency units above which another operator has to approve a refund."""
SIGNUP_OPEN = env.bool("SIGNUP_OPEN", default=True)
MAX_ATTEMPTS = env.int("MAX_ATTEMPTS", default=3)
RETRY_BUDGET = env.float("RETRY_BUDGET", default=0.1)
"""Extra attempts as a share of requests in the last ten seconds; one a second is always allowed."""
HEARTBEAT_SECONDS = env.float("HEARTBEAT_SECONDS", default=4.0)
OWNER_DEAD_SECONDS = env.float("OWNER_DEAD_SECONDS", default=15.0)
INVOICE_DRAFT_DAYS = env.int("INVOICE_DRAFT_DAYS", default=1)
SPOOL_DIR = env.folder("SPOOL_DIR", default=VAR_DIR / "spool")
"""Where processes write how far their answers have come; all processes of a machine share it."""
KEEP_ALIVE_SECONDS = env.float("KEEP_ALIVE_SECONDS", default=10.0)

# --- Django ----------------------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    # Unfold's templates stand before the admin's; the site itself is ours (administration/frame.py).
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "costrouter.apps.AdministrationConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "accounts",
    "billing",
    "routing",
    "portal",
    "administration",
]

# The web plane's; the API plane has none (costrouter/asgi.py).
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
]

ROOT_URLCONF = "costrouter.urls"
ASGI_APPLICATION = "costrouter.asgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES: list[dict[str, Any]] = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

DATABASES = {"default": _database(DATABASE_URL)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # WAL lets pages read while the writer commits; FULL makes a committed hold survive a power cut.
    DATABASES["default"]["OPTIONS"] = {
        "timeout": 20,
        "transaction_mode": "IMMEDIATE",
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=60)
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # A pooler would lose them between two transactions; what is long is read in portions (billing/portions.py).
    DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = True
    # A host that vanished is noticed within seconds; by itself TCP takes a quarter of an hour. Milliseconds, the last.
    vanishing = {"connect_timeout": 3, "keepalives_idle": 5, "tcp_user_timeout": 5000}
    DATABASES["default"]["OPTIONS"] = vanishing | DATABASES["default"].get("OPTIONS", {})

# What throttles of pages count in: shared by all processes.
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "accounts.shared_cache.SharedCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "costrouter",
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
    if REDIS_URL
    else {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "costrouter_cache",
        # As few as Django keeps by itself, a flood of made-up accounts would make it forget who is throttled.
        "OPTIONS": {"MAX_ENTRIES": 100_000, "CULL_FREQUENCY": 10},
    },
}

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("vi", "Tiếng Việt")]
# The second folder holds texts of packages that do not speak a language themselves.
LOCALE_PATHS = [BASE_DIR / "locale", BASE_DIR / "locale" / "packages"]
TIME_ZONE = "UTC"
USE_I18N = True
# Django's Vietnamese formats name a thousands separator but leave the grouping to this.
NUMBER_GROUPING = 3
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True

HAS_TLS = SITE_URL.startswith("https://")
COOKIE_SAMESITE = env.str("COOKIE_SAMESITE", default="Lax")
SESSION_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = COOKIE_SAMESITE
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = env.bool("COOKIE_SECURE", default=HAS_TLS)
LANGUAGE_COOKIE_SECURE = SESSION_COOKIE_SECURE
SESSION_COOKIE_DOMAIN = env.str("COOKIE_DOMAIN", default="") or None
CSRF_COOKIE_DOMAIN = LANGUAGE_COOKIE_DOMAIN = SESSION_COOKIE_DOMAIN
SESSION_COOKIE_AGE = env.int("SESSION_SECONDS", default=14 * 86_400)
# Whether a request came by https is what a trusted proxy says of it (costrouter/guard.py).
SECURE_SSL_REDIRECT = env.bool("HTTPS_REDIRECT", default=HAS_TLS and bool(TRUSTED_PROXIES))
SECURE_HSTS_SECONDS = env.int("HSTS_SECONDS", default=0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("HSTS_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("HSTS_PRELOAD", default=False)
# Other names below the operator's domain, and the browsers' own list, are his to decide on.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
try:
    CONTENT_SECURITY_POLICY = {"DIRECTIVES": policy.with_additions(env.str("CSP_ADDITIONS", default=""))}
except ValueError as error:
    raise ImproperlyConfigured(f"CSP_ADDITIONS: {error}; see docs/runbook.md.") from error

EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
if HAS_MAIL:
    vars().update(_mail())
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="CostRouter <no-reply@localhost>")

# --- sign-in (django-allauth) ----------------------------------------------------------------------------------------

ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_EMAIL_VERIFICATION = env.choice(
    "EMAIL_VERIFICATION",
    ("none", "optional", "mandatory"),
    default="optional" if HAS_MAIL or not EMBEDDED else "none",
)
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_ADAPTER = "portal.signup.AccountAdapter"
ACCOUNT_FORMS = {"signup": "portal.signup.SignupForm"}
# Each of these mails has a link that works for days: more of them help nobody but who wants to fill a mailbox.
ACCOUNT_RATE_LIMITS = {"reset_password": "20/m/ip,5/h/key", "confirm_email": "1/3m/key,10/d/key"}
# Who guesses at his password cannot keep out an owner who has a new browser and his mails (portal/devices.py).
ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "portal:overview"
ACCOUNT_SIGNUP_REDIRECT_URL = "portal:keys"
ACCOUNT_LOGOUT_REDIRECT_URL = "home"
MFA_TOTP_ISSUER = "CostRouter"
MFA_FORMS = {
    "authenticate": "portal.second_factor.AuthenticateForm",
    "reauthenticate": "portal.second_factor.ReauthenticateForm",
}
# Where nobody is asked to prove an address, a second factor must not wait for it.
MFA_ALLOW_UNVERIFIED_EMAIL = ACCOUNT_EMAIL_VERIFICATION == "none"

ADMIN_SECOND_FACTOR = env.bool("ADMIN_SECOND_FACTOR", default=not EMBEDDED)
"""Whether operators need a second factor for the administration."""

# --- the administration (django-unfold) ------------------------------------------------------------------------------


def _page(title: Any, icon: str, model: str) -> dict[str, Any]:
    """A link of the administration's sidebar, shown to operators who may look at these rows."""
    app_label, model_name = model.split(".")
    return {
        "title": capfirst(title),
        "icon": icon,
        "link": reverse_lazy(f"admin:{app_label}_{model_name}_changelist"),
        "permission": lambda request: request.user.has_perm(f"{app_label}.view_{model_name}"),
    }


UNFOLD = {
    "SITE_TITLE": _("CostRouter administration"),
    "SITE_HEADER": "CostRouter",
    "SITE_SUBHEADER": _("Administration"),
    "SITE_URL": reverse_lazy("home"),
    "SITE_ICON": lambda request: static("mark.svg"),
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("mark.svg")}],
    "STYLES": [lambda request: static("css/administration.css")],
    "SCRIPTS": [lambda request: static("js/administration.js")],
    "SHOW_LANGUAGES": True,
    "DASHBOARD_CALLBACK": "administration.dashboard.figures",
    "ACCOUNT": {
        "navigation": [
            {"title": _("Change password"), "link": reverse_lazy("account_change_password")},
            {"title": _("Second factors"), "link": reverse_lazy("mfa_index")},
        ],
    },
    "SIDEBAR": {
        "navigation": [
            {
                "title": _("Customers"),
                "items": [
                    _page(_("Tenants"), "apartment", "accounts.tenant"),
                    _page(_("API keys"), "key", "accounts.apikey"),
                    _page(_("Refused calls"), "block", "accounts.refusedcall"),
                    _page(_("Users"), "person", "accounts.user"),
                    _page(_("Groups"), "group", "auth.group"),
                ],
            },
            {
                "title": _("Routing"),
                "items": [
                    _page(_("Channels"), "hub", "routing.channel"),
                    _page(_("Models"), "deployed_code", "routing.cataloguemodel"),
                    _page(_("Routes"), "route", "routing.route"),
                    _page(_("Cost prices"), "request_quote", "routing.costprice"),
                ],
            },
            {
                "title": _("Payments"),
                "items": [
                    _page(_("Payment orders"), "shopping_cart", "billing.paymentorder"),
                    _page(_("Refunds"), "undo", "billing.paymentrefund"),
                    _page(_("Disputes"), "gavel", "billing.paymentdispute"),
                    _page(_("Bank transfers"), "account_balance", "billing.banktransfer"),
                    _page(_("Exchange rates"), "currency_exchange", "billing.exchangerate"),
                    _page(_("Automatic top-ups"), "autorenew", "billing.automatictopup"),
                    _page(_("Payment events"), "notifications", "billing.paymentevent"),
                    _page(_("Payment alarms"), "warning", "billing.paymentalarm"),
                ],
            },
            {
                "title": _("Money"),
                "items": [
                    _page(_("Prices"), "sell", "billing.price"),
                    _page(_("Price plans"), "loyalty", "billing.priceplan"),
                    _page(_("Usage records"), "receipt_long", "billing.usagerecord"),
                    {
                        "title": _("Margins"),
                        "icon": "percent",
                        "link": reverse_lazy("margins"),
                        "permission": "administration.margins.may_see",
                    },
                    _page(_("Ledger entries"), "menu_book", "billing.ledgerentry"),
                    _page(_("Posting requests"), "approval", "billing.postingrequest"),
                    _page(_("Batches of codes"), "confirmation_number", "billing.codebatch"),
                    _page(_("Invoices and statements"), "description", "billing.invoice"),
                    _page(_("Credit notes"), "undo", "billing.creditnote"),
                    _page(_("Billing profiles"), "contact_mail", "billing.billingprofile"),
                    _page(_("Legal entities"), "store", "billing.legalentity"),
                    _page(_("Tax rates"), "account_balance", "billing.taxrate"),
                    _page(_("Parked tenants"), "car_crash", "billing.parkedtenant"),
                    _page(_("Quotas"), "speed", "billing.quota"),
                    _page(_("Default quotas"), "playlist_add", "billing.quotadefault"),
                    _page(_("Balances"), "account_balance_wallet", "billing.balance"),
                    _page(_("Reconciliations"), "fact_check", "billing.reconciliation"),
                    _page(_("Breaks in the books"), "report", "billing.break"),
                    _page(_("Reservations"), "lock_clock", "billing.reservation"),
                    _page(_("Processes"), "memory", "billing.process"),
                ],
            },
        ],
    },
}

# --- API plane, jobs, logs -------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "UNAUTHENTICATED_USER": None,
}

CELERY_BROKER_URL, CELERY_BROKER_USE_SSL = _broker(REDIS_URL)
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
# Beat's note of what ran when; its default is the folder that beat happens to be in.
CELERY_BEAT_SCHEDULE_FILENAME = str(VAR_DIR / "celerybeat-schedule")
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

LOG_LEVEL = env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), default="INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "filters": {"brief": {"()": "costrouter.logs.Brief"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "filters": ["brief"]}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {"httpx": {"level": "WARNING"}, "stripe": {"level": "WARNING"}},
}
