"""What an upstream's error means: by its status, by the words of its code, and by how its message begins.

A message may quote the tenant, so only its beginning counts, and not even that where `param` names a field of the
request: whoever asks could otherwise rest a channel for everybody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from routing.providers.base import Meaning

_CONTENT: Final = frozenset((400, 413, 422))
_OVERLOAD: Final = frozenset((503, 529))
"""With a time to come back: RFC 9110, section 15.6.4, and Anthropic's own."""
_KEY_PARAMS: Final = frozenset(("", "api_key", "apikey", "key", "authorization", "token"))
_MOST_WORD: Final = 100
_FILLING: Final = re.compile(r"[\W_]+")

_KEY_WORDS: Final = frozenset(
    (
        "authentication", "auth", "invalidapikey", "nodbconnection", "invalidauthentication", "unauthenticated",
        "unauthorized", "apikeyinvalid", "permissiondenied", "accessdenied", "authenticationfails", "invalidtoken",
        "incorrectapikey", "missingapikey", "apikeyexpired", "expiredapikey", "invalidaccesstoken", "tokenexpired",
        # AWS: https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html
        "unrecognizedclient", "expiredtoken", "invalidclienttokenid", "incompletesignature", "invalidsignature",
        "signaturedoesnotmatch", "missingauthenticationtoken", "notauthorized", "optinrequired",
        # Groq, OpenAI: an organisation or account that is blocked
        "organizationrestricted", "accountdeactivated",
        "401",
    )
)  # fmt: skip
"""Types, codes and statuses, without filling, `Error` and `Exception`, under which some refuse a key with 400."""
_EMPTY_WORDS: Final = frozenset(
    (
        "insufficientquota", "billinghardlimitreached", "insufficientbalance", "insufficientcredits",
        "insufficientcredit", "insufficientfunds", "creditsexhausted", "paymentrequired", "arrearage",
        "exceededcurrentquota", "balancenotenough", "billingnotactive", "billing",
        # one-api and new-api
        "insufficientuserquota", "preconsumetokenquotafailed",
        # Zhipu's number for an account in arrears, Volcengine, DashScope, Together, Groq's spend limit
        "1113", "accountoverdue", "prepaidbilloverdue", "postpaidbilloverdue", "allocationquotafreetieronly",
        "creditlimit", "blockedapiaccess",
        "402",
    )
)  # fmt: skip
"""The same for an account of ours that is empty."""
_RATE_WORDS: Final = frozenset(
    (
        "ratelimit", "ratelimitexceeded", "userratelimitexceeded", "throttling", "throttled", "toomanyrequests",
        "requestlimitexceeded", "limitrequests", "limitburstrate", "throttlingratequota", "throttlingburstrate",
        "throttlingallocationquota", "throttlinguser", "resourceexhausted", "slowdown",
        "429",
    )
)  # fmt: skip
"""The same for a limit of our account."""
_MODEL_WORDS: Final = frozenset(
    (
        "modelnotfound", "modelnotexist", "modelnotexists", "modeldoesnotexist", "invalidmodel", "unknownmodel",
        "modelnotsupported", "modeldecommissioned", "modelnotavailable", "deploymentnotfound",
        "invalidendpointormodelnotfound",
    )
)  # fmt: skip
"""The same for our route's name of the model: the tenant wrote another one."""
_LOAD_WORDS: Final = frozenset(
    ("overloaded", "serveroverloaded", "engineoverloaded", "modeloverloaded", "serviceunavailable")
)
"""The same for a server that is at its end, which is no fault of the content either."""

_FLAGGED_WORDS: Final = frozenset(
    (
        "contentfilter", "contentpolicyviolation", "contentmoderation", "moderation", "moderationblocked",
        "inputmoderation", "flagged", "contentflagged", "datainspectionfailed", "sensitivecontent", "contentblocked",
    )
)  # fmt: skip
"""The same for words of the tenant's that are not let through, for which some say 403 (OpenRouter)."""
_FLAGGED: Final = "flagged_input"

_START: Final = r"\W{0,4}(?:error code: ?\d{3} ?[-:]? ?)?"
_KEY_ENDS: Final = (
    r"(?=\W{0,3}$|[.,:;!)\]'\"*]|\s?[(\[-]"
    r"|[ -](?:is|was|has|provided|supplied|specified|given|used|passed|found|sent|header|in|for|or|format)\b)"
)
_KEY_SENTENCE: Final = re.compile(
    _START + r"(?:"
    r"(?:incorrect|invalid|missing|expired|wrong|bad|no|unknown) (?:or (?:missing|invalid|expired) )?"
    rf"(?:(?:x-)?(?:api|access)[ _-]?(?:key|token)s?|authorization(?: header)?){_KEY_ENDS}"
    r"|(?:your |the |this )?(?:api|access)[ _-]?(?:key|token)(?: provided)? (?:is |was |has )?(?:been )?"
    r"(?:not valid|invalid|incorrect|expired|missing|not found|disabled|revoked|deactivated|suspended|blocked|reported)"
    r"|please (?:pass|provide|supply|set|use|carry) (?:a |an |the |your )?(?:valid )?(?:api|access)[ _-]?(?:secret )?"
    rf"(?:key|token){_KEY_ENDS}"
    r"|(?:the |your )?authorization header (?:is|was|has)|malformed authorization header"
    r"|header\.(?:authorization|x-api-key|api-key)\b"
    r"|not authenticated(?=\W{0,3}$)|could not validate credentials|invalid (?:credentials|token)(?=\W{0,3}$)"
    r"|bad response status code 40[123]\b"
    r"|your account is not authori[sz]ed"
    r"|login fail"
    r"|the security token included in the request"
    r"|the request signature we calculated"
    r"|user location is not supported|gemini api free tier is not available"
    r"|(?:this|your) organization has been disabled"
    r"|authentication (?:fail|error)"
    r"|unauthori[sz]ed(?: access)?(?=\W{0,3}$|[.,:;!]| [-(])|unauthenticated(?=\W{0,3}$|[.,:;!]| [-(])"
    r"|令牌已过期|无效的令牌|未提供令牌)",
    re.IGNORECASE,
)
"""How such a message begins."""
_QUOTA_SENTENCE: Final = re.compile(r"\W{0,4}you exceeded your current quota", re.IGNORECASE)
"""OpenAI's for an account without money, Gemini's for any limit per minute."""
_EMPTY_SENTENCE: Final = re.compile(
    _START + r"(?:sorry, ?)?(?:"
    r"insufficient (?:account |user |token )?(?:balance|credit|quota|fund)"
    r"|(?:your |the )?(?:account |credit |wallet |user )?(?:balance|quota) is (?:too low|insufficient|not enough)"
    r"|(?:the |your )?(?:token |user |account )quota (?:has been used up|is exhausted|exhausted)"
    r"|(?:your |the )?account [^.]{0,300}?suspended due to insufficient"
    r"|payment required|(?:your )?account (?:is )?in arrears|this request requires more credits|credit limit exceeded"
    r"|the request failed because your account has an overdue"
    r"|you have reached your specified api usage limits|your account is not active, please check your billing"
    r"|your (?:newly created )?teams? [^.]{0,120}\bcredits"
    r"|you have exceeded your monthly included credits|your prepayment credits are depleted"
    r"|(?:您的|当前)?(?:账户|帐户|账号|用户|令牌)?(?:已)?(?:余额不足|额度不足|额度已用尽|欠费))",
    re.IGNORECASE,
)
_OF_A_MINUTE: Final = "error-code#token-limit"
"""DashScope's for its tokens per minute, which it calls `insufficient_quota`: the address tells them apart."""
_RATE_SENTENCE: Final = re.compile(
    _START + r"(?:(?:api |request )?rate limit (?:is |was |has been )?(?:reached|exceeded)|too many requests)",
    re.IGNORECASE,
)
_TOO_LARGE: Final = re.compile(r"\W{0,4}request too large for", re.IGNORECASE)
"""OpenAI's and Groq's for a request that is by itself above our limit per minute."""
_MODEL_SENTENCE: Final = re.compile(
    _START + r"(?:(?:the )?(?:requested )?model:? (?:\S{1,200} )?"
    r"(?:does not exist|doesn't exist|not exist|(?:is |was )?not found)"
    r"|the provided model identifier is invalid|you don't have access to the model with the specified"
    r"|(?:invalid|unknown) model(?:$|:| name)|no such model"
    r"|\S{1,200} is not a valid model)",
    re.IGNORECASE,
)


def meaning_of(
    status: int, headers: Mapping[bytes, bytes], error: Mapping[str, Any], message: str, told: float | None
) -> Meaning:
    """`told`: for how many seconds the upstream asked to be left alone, None where it did not."""
    words = _words(headers, error)
    begins = message if _is_about_us(error) else ""
    if status == 429 and _OF_A_MINUTE in begins:
        return "rest"
    if status == 402 or words & _EMPTY_WORDS or _EMPTY_SENTENCE.match(begins):
        return "account_empty"
    if _QUOTA_SENTENCE.match(begins):
        return "rest" if told is not None or words & {"resourceexhausted"} else "account_empty"
    if status != 401 and (words & _RATE_WORDS or _RATE_SENTENCE.match(begins) or status == 429):
        return "not_here" if status == 413 or _TOO_LARGE.match(message) else "rest"
    if status in _CONTENT | {403} and (words & (_MODEL_WORDS | _LOAD_WORDS) or _MODEL_SENTENCE.match(begins)):
        return "retry"
    if status == 403 and (words & _FLAGGED_WORDS or _is_flagged(error)):
        return "content_refused"
    if status in {401, 403}:
        return "key_refused"
    if status in _CONTENT:
        return "key_refused" if words & _KEY_WORDS or _KEY_SENTENCE.match(begins) else "content_refused"
    return "rest" if status in _OVERLOAD and told else "retry"


def _is_flagged(error: Mapping[str, Any]) -> bool:
    """Whether OpenRouter quotes what of the request was not let through."""
    metadata = error.get("metadata")
    return type(metadata) is dict and _FLAGGED in metadata


def _is_about_us(error: Mapping[str, Any]) -> bool:
    """Whether the error names no field of the tenant's request."""
    param = error.get("param")
    # (one-api writes the status there.)
    return type(param) is not str or param.lower() in _KEY_PARAMS or param == "model" or param.isdecimal()


def _words(headers: Mapping[bytes, bytes], error: Mapping[str, Any]) -> set[str]:
    """What an error calls itself; AWS says it behind a namespace, or in a header before an address."""
    said = [error.get(name) for name in ("type", "code", "status", "reason", "error_type", "errorType", "Code")]
    kind = error.get("__type")
    said.append(kind.rpartition("#")[2] if type(kind) is str else None)
    said.append(headers.get(b"x-amzn-errortype", b"")[:_MOST_WORD].decode("latin-1").partition(":")[0])
    details = error.get("details")
    if type(details) is list:
        said.extend(entry.get("reason") for entry in details[:16] if type(entry) is dict)
    return {_plain(str(word)[:_MOST_WORD]) for word in said if word and type(word) in (str, int)}


def _plain(word: str) -> str:
    return _FILLING.sub("", word).lower().removesuffix("error").removesuffix("exception")
