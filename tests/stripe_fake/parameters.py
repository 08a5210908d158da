"""Reads form-encoded parameters by the types which the `stripe` package has for them."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from types import UnionType
from typing import (
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from stripe import RequestOptions
from stripe._stripe_object import UntypedStripeObject
from typing_extensions import is_typeddict

from tests.stripe_fake.answers import Json, Refused

# A form is text, or forms by their keys; `a[0]=x` and `a[]=x` are keys too.
Form = str | dict[str, "Form"]
Read = Callable[[Form, str], Json]

SCALARS: Final = {
    str: str,
    int: int,
    float: float,
    Decimal: Decimal,
    bool: lambda text: {"true": True, "false": False}[text],
}


def decoded(pairs: Iterable[tuple[str, str]]) -> dict[str, Form]:
    """`a[b][0]=c` as {"a": {"b": {"0": "c"}}}."""
    forms: dict[str, Form] = {}
    for name, value in pairs:
        place = forms
        keys = [key.rstrip("]") for key in name.split("[")]
        for key in keys[:-1]:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                raise Refused(f"Invalid hash: {name}", param=key)
            place = inner
        place[keys[-1] or str(len(place))] = value
    return forms


@cache
def reader(params: Any) -> Read:  # noqa: ANN401 # the package's TypedDicts have no common type
    """A function which turns a form into typed values, or raises Refused."""
    return _fields(params)


def _fields(params: Any) -> Read:  # noqa: ANN401 # as above
    # What the inherited RequestOptions names; left out below.
    names = {"StripeContext": object, "Mapping": Mapping}
    hints = get_type_hints(params, localns=names, include_extras=True)
    options = RequestOptions.__annotations__
    kinds = {name: kind for name, kind in hints.items() if name not in options}
    required = params.__required_keys__ - set(options)
    reads: dict[str, Read] = {}

    def read(form: Form, path: str) -> Json:
        if not isinstance(form, dict):
            raise Refused(f"Invalid object: {path}", param=path)
        if missing := required - form.keys():
            names = sorted(_joined(path, name) for name in missing)
            raise Refused(
                f"Missing required param: {names[0]}.", code="parameter_missing", param=names[0]
            )
        values = {}
        for name, value in form.items():
            if name not in kinds:
                at = _joined(path, name)
                raise Refused(
                    f"Received unknown parameter: {at}", code="parameter_unknown", param=at
                )
            # Made when first needed: some of the types are large.
            if name not in reads:
                reads[name] = _reader(kinds[name])
            values[name] = reads[name](value, _joined(path, name))
        return values

    return read


def _reader(kind: Any) -> Read:  # noqa: ANN401 # an annotation
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (NotRequired, Required):
        return _reader(arguments[0])
    if is_typeddict(kind):
        return reader(kind)
    if origin in (Union, UnionType):
        return _any_of(arguments)
    if origin is Literal:
        return _one_of(arguments)
    if origin is list:
        return _items(_reader(arguments[0]))
    if origin is dict:
        return _entries(_reader(arguments[1]))
    return _scalar(kind)


def _any_of(kinds: tuple[Any, ...]) -> Read:
    named = [kind for kind in kinds if get_origin(kind) is Literal and any(get_args(kind))]
    # `Literal[...] | str` means names that may grow; Stripe itself refuses all others.
    kinds = tuple(kind for kind in kinds if not (named and kind is str))
    reads = [_reader(kind) for kind in kinds if get_origin(kind) is not UntypedStripeObject]

    def read(form: Form, path: str) -> Json:
        refusal: Refused | None = None
        for each in reads:
            try:
                return each(form, path)
            except Refused as error:
                refusal = error
        raise refusal or Refused(f"Invalid value: {path}", param=path)

    return read


def _one_of(values: tuple[object, ...]) -> Read:
    def read(form: Form, path: str) -> Json:
        if form not in values:
            expected = ", ".join(map(str, values))
            raise Refused(f"Invalid {path}: must be one of {expected}", param=path)
        return form

    return read


def _items(each: Read) -> Read:
    def read(form: Form, path: str) -> Json:
        if not isinstance(form, dict) or not all(key.isdigit() for key in form):
            raise Refused(f"Invalid array: {path}", param=path)
        return [each(value, _joined(path, key)) for key, value in form.items()]

    return read


def _entries(each: Read) -> Read:
    def read(form: Form, path: str) -> Json:
        if not isinstance(form, dict):
            raise Refused(f"Invalid hash: {path}", param=path)
        return {key: each(value, _joined(path, key)) for key, value in form.items()}

    return read


def _scalar(kind: Any) -> Read:  # noqa: ANN401 # an annotation
    convert: Any = SCALARS.get(kind)
    if convert is None:
        raise TypeError(f"Teach tests/stripe_fake/parameters.py to read {kind!r}.")

    def read(form: Form, path: str) -> Json:
        if not isinstance(form, str):
            raise Refused(f"Invalid value: {path}", param=path)
        try:
            return convert(form)
        except (ValueError, KeyError, InvalidOperation):
            raise Refused(f"Invalid {kind.__name__}: {form}", param=path) from None

    return read


def _joined(path: str, name: str) -> str:
    return f"{path}[{name}]" if path else name
