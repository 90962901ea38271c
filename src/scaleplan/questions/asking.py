"""What a question is, and how one is asked: given fields -> the shape of the question -> a typed request -> its answer.

A question has one or more shapes, each a NamedTuple of the fields that it knows. The shape is the first of which a deciding field
was given; a field that this shape does not know is refused by name, so nothing that was given is ignored. Only None means absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from importlib import import_module
from math import isinf
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.errors import InputError, ScaleplanError, UsageError
from scaleplan.questions.fields import ADDED_WORDS, SHAPE_WORDS, Field, field_named, read, shown_object, text_of
from scaleplan.wording import field, fields
from scaleplan.wording import question as command

if TYPE_CHECKING:
    from scaleplan.answer import Answer
    from scaleplan.model_files import Model


ASKED = "asked"
"""The fields of another question, not yet read, in the request of a question that borrows them."""


class Shape(NamedTuple):
    """One shape of a question.

    kind        `result.kind` of its answers
    request     the NamedTuple of its fields
    about       what is asked, for a refusal: "serving", "training under a layout"
    decided_by  the fields of which one makes the question this one, `form=isoflop|envelope` by some of its values, `n_devices~:,` by a
                sign in it; none: the last resort
    room        the module that holds `solve` and `explain`, below scaleplan.questions
    result      `module:name` of the TypedDict of its result, likewise; it is loaded only where a schema is asked for
    together    fields of which at most one may be given
    needs       field -> fields of which one must stand beside it
    left_open   field -> words that leave its value to the answer
    readers     field -> its reader in this shape, where it is more than one value
    """

    kind: str
    request: Any
    about: str
    room: str
    result: str
    decided_by: tuple[str, ...] = ()
    together: tuple[tuple[str, ...], ...] = ()
    needs: Mapping[str, tuple[str, ...]] = {}
    left_open: Mapping[str, tuple[str, ...]] = {}
    readers: Mapping[str, str] = {}

    def field(self, name: str) -> Field:
        """A field as this shape reads it."""
        known = field_named(name)
        return known._replace(reader=self.readers[name]) if name in self.readers else known

    @property
    def module(self) -> Any:
        """The room of the shape, loaded now."""
        return import_module(f"scaleplan.questions.{self.room}")

    def result_type(self) -> Any:
        """The TypedDict of its result."""
        module, _, name = self.result.partition(":")
        return getattr(import_module(f"scaleplan.questions.{module}"), name)

    def solve(self, request: Any) -> Any:
        """Typed numbers of a request, or arrays of a request that holds arrays."""
        return self.module.solve(request)

    def explain(self, request: Any, solved: Any) -> Answer:
        """The answer of one case."""
        return self.module.explain(request, solved)  # type: ignore[no-any-return]  # the module is loaded by name


class Question(NamedTuple):
    """One command: what it asks, of what, with which fields.

    name        the command, and the function in Python
    asks        the question in a sentence: the first line of its help
    subject     fields that stand without a flag, in their order; the last may take several where it is a list
    headings    heading -> the fields under it, the ones that people use first on top
    elsewhere   heading -> the command whose help explains the fields under it: here they are listed
    shapes      the shapes that it has; the first one whose deciding field was given is asked
    examples    command lines
    more        a paragraph of the help
    version     of its JSON
    formats     those it has beside the usual ones; the first is then its default
    charts      whether its answers hold charts
    takes_shape whether the words that describe a model are fields of it
    borrows     `module:function` that gives the fields of another question, which the subject names, their place; empty: it has none
    rewritten_by `module:function` that puts some of its own fields in the place of others; empty: none
    """

    name: str
    asks: str
    subject: tuple[str, ...]
    headings: Mapping[str, tuple[str, ...]]
    shapes: tuple[Shape, ...]
    examples: tuple[str, ...]
    more: str = ""
    version: int = 1
    formats: tuple[str, ...] = ()
    charts: bool = False
    takes_shape: bool = False
    borrows: str = ""
    rewritten_by: str = ""
    elsewhere: Mapping[str, str] = {}

    def given_to(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """What was given, with the fields of another question, or of its own, in their place."""
        changes = self.borrows or self.rewritten_by
        if not changes:
            return given
        module, _, function = changes.partition(":")
        return getattr(import_module(f"scaleplan.questions.{module}"), function)(given)  # type: ignore[no-any-return]  # loaded by name

    def own_fields(self) -> list[Field]:
        """Its fields but for the subject and the words of a shape, in the order of the help."""
        return [field_named(name) for names in self.headings.values() for name in names]

    def every_field(self) -> list[Field]:
        """All of its fields: subject, own, and words of a shape."""
        own = [*(field_named(name) for name in self.subject), *self.own_fields()]
        known = {one.name for one in own}
        return own + [field_named(name) for name in SHAPE_WORDS if self.takes_shape and name not in known]

    def that_reads(self, value: Any) -> Field | None:
        """The first of its own fields that could be given such a value."""
        for one in self.own_fields():
            if one.kind == "value" and not one.choices and not one.presets:
                with suppress(ScaleplanError):
                    if not isinstance(read(one, value), str):
                        return one
        return None


class ModelGiven(NamedTuple):
    """What was said of the model, before it is read: MODEL, and the words of a shape."""

    text: Any
    words: dict[str, Any]

    def model(self) -> Model:
        """The model of MODEL or of the words; both is an error."""
        from scaleplan.model_files import model_of_words, read_model

        added = {word: value for word, value in self.words.items() if word in ADDED_WORDS}
        shape = {word: value for word, value in self.words.items() if word not in ADDED_WORDS}
        if self.text is None:
            return model_of_words(self.words, spelled_word)
        if shape:
            raise UsageError(
                f"`{self.text}` and {fields(*shape, joined=', ')} both describe a model", hint="give a MODEL or a shape, not both"
            )
        model = read_model(text_of(field_named("model"), self.text))
        return model.but(**added) if added else model


def spelled_word(name: str) -> str:
    """A word of a shape as errors name it: its field, or where else it may be said."""
    return field(name) if name in SHAPE_WORDS else f"`{name}`, which only a model TOML can say"


def ask(question: Question, given: Mapping[str, Any]) -> Answer:
    """The answer to a question.

    given  field -> its text, or a number in base units, True or False, a list; None where it was not given

    Raises InputError where the inputs are so extreme that a number overflows.
    """
    shape, request = requested(question, given)
    try:
        answer = shape.explain(request, shape.solve(request))
        refuse_infinite(answer.result)
    except OverflowError as error:
        hint = "an input is far from that of any run: check its unit and its exponent"
        raise InputError("a number on the way to this answer exceeds 1.8e308, the largest that can be held", hint=hint) from error
    result = answer.result if len(question.shapes) == 1 or "kind" in answer.result else {"kind": shape.kind, **answer.result}
    return answer._replace(command=question.name, version=question.version, result=result, inputs=with_shape(answer.inputs, request))


def refuse_infinite(result: Any) -> None:
    """Raise OverflowError where a number of a result is infinite: a product of floats overflows without a word.

    What is gathered only as it is written, as the columns of a table of layouts are, stays so.
    """
    if isinstance(result, float) and isinf(result):
        raise OverflowError
    if isinstance(result, dict | list | tuple):
        for value in result.values() if isinstance(result, dict) else result:
            refuse_infinite(value)


def with_shape(inputs: Mapping[str, Any], request: Any) -> Mapping[str, Any]:
    """The inputs of an answer and in them the whole shape of its model, so that the next question can read it from there."""
    model = getattr(request, "model", None)
    if model is None or "model_shape" in inputs:
        return inputs
    from scaleplan.model_files import model_document

    return {**inputs, "model_shape": model_document(model)}


def plain(value: Any) -> Any:
    """A value of a request as a document holds it: a model or a file by its label, a layout as it is typed, an adapter by its parts."""
    if hasattr(value, "label"):
        return value.label
    return value.spelled() if hasattr(value, "spelled") else value._asdict() if hasattr(value, "_asdict") else value


def requested(question: Question, given: Mapping[str, Any]) -> tuple[Shape, Any]:
    """The shape of the question, and its request with every value read.

    Raises UsageError for a field that the shape does not know, that contradicts another, or that lacks another.
    """
    given = question.given_to(given)
    present = {name: value for name, value in given.items() if value is not None and not (value is False and is_plain_switch(name))}
    shape = chosen(question, present)
    known = set(shape.request._fields)
    words = {name: present.pop(name) for name in list(present) if question.takes_shape and name in SHAPE_WORDS and name not in known}
    refuse_unknown(question, shape, present, words)
    refuse_contradictions(shape, present)
    values = {name: value if as_given(shape, name, value) else read(shape.field(name), value) for name, value in present.items()}
    read_words = {name: read(field_named(name), value) for name, value in words.items()}
    if "from_file" in values:
        from scaleplan.questions.run_file import put_in

        values = put_in(values, read_words, known)
    elif "model" in known and ("model" in present or words):
        values["model"] = ModelGiven(present.get("model"), read_words).model()
    if "shape" in known:
        values["shape"] = read_words
    lacking = [name for name in shape.request._fields if name not in values and name not in shape.request._field_defaults]
    if lacking:
        raise missing(shape, lacking, present)
    request = shape.request(**values)
    if hasattr(request, "check"):
        request.check()
    return shape, request


def as_given(shape: Shape, name: str, value: Any) -> bool:
    """Whether a value is not to be read: the model, which is read below, and a word that leaves the field to the answer."""
    return name in ("model", ASKED) or (isinstance(value, str) and value in shape.left_open.get(name, ()))


def is_plain_switch(name: str) -> bool:
    """A switch that can only be turned on: off is then what not giving it is."""
    known = field_named(name)
    return known.kind == "switch" and not known.off


def chosen(question: Question, present: Mapping[str, Any]) -> Shape:
    """The first shape of which a deciding field was given; the one that none decides where none was."""
    for shape in question.shapes:
        if any(decides(one, present) for one in shape.decided_by):
            return shape
    return next(shape for shape in question.shapes if not shape.decided_by)


def decides(one: str, present: Mapping[str, Any]) -> bool:
    """Whether a deciding field was given, or given as one of the words after its `=`, or with one of the signs after its `~`."""
    if "~" in one:
        name, _, signs = one.partition("~")
        return name in present and any(sign in shown_object(present[name]) for sign in signs)
    name, _, words = one.partition("=")
    return name in present and (not words or present[name] in words.split("|"))


def deciding_name(one: str) -> str:
    """The field of a deciding one."""
    return one.partition("=")[0].partition("~")[0]


def refuse_unknown(question: Question, shape: Shape, present: Mapping[str, Any], words: Mapping[str, Any]) -> None:
    """Every field must mean something in this shape of the question."""
    known = shape.request._fields
    strange = [name for name in present if name not in known]
    if words and "model" not in known and "shape" not in known:
        strange += list(words)
    if not strange:
        return
    decided = next((deciding_name(one) for one in shape.decided_by if decides(one, present)), None)
    because = f", which {field(decided)} asks for" if decided else ""
    others = {name: where(question, name, shape) for name in strange}
    hints = [f"{field(name)} goes with {place}" for name, place in others.items() if place]
    plural = "do" if len(strange) > 1 else "does"
    raise UsageError(
        f"{fields(*strange)} {plural} not apply to {shape.about}{because}", hint="; ".join(hints) or f"leave out {fields(*strange)}"
    )


def where(question: Question, name: str, refused: Shape) -> str:
    """The deciding fields of the shapes that know a field, for a hint; empty where none decides."""
    others = [shape for shape in question.shapes if shape is not refused and name in shape.request._fields]
    deciding = [("a range of " if "~" in one else "") + field(deciding_name(one)) for shape in others for one in shape.decided_by]
    plain = [shape.about for shape in others if not shape.decided_by]
    return " or ".join([*dict.fromkeys(deciding), *plain])


def refuse_contradictions(shape: Shape, present: Mapping[str, Any]) -> None:
    """Fields that say the same thing twice, and fields that need another."""
    for group in shape.together:
        both = [name for name in group if name in present]
        if len(both) > 1:
            raise UsageError(f"{fields(*both)} contradict each other", hint=f"give one of {fields(*group, joined=', ')}")
    for name, others in shape.needs.items():
        if name in present and not any(other in present for other in others):
            raise UsageError(f"{field(name)} needs {fields(*others, joined=' or ')}", hint=f"add {fields(*others, joined=' or ')}")


def missing(shape: Shape, lacking: Iterable[str], present: Mapping[str, Any]) -> UsageError:
    """What a question cannot do without."""
    lacking = list(lacking)
    if "model" in lacking:
        least = fields("n_layers", "d_model", "n_vocab", "n_heads", joined=", ")
        presets = f"`{command('presets', 'models')}`"
        return UsageError("no model", hint=f"give the name of a preset ({presets} lists them), a config.json, or a shape: {least}")
    decided = next((deciding_name(one) for one in shape.decided_by if decides(one, present)), None)
    because = f", which {field(decided)} asks for," if decided else ""
    about = f": {field_named(lacking[0]).explained(field)}" if len(lacking) == 1 else ""
    return UsageError(f"{shape.about}{because} needs {fields(*lacking)}", hint=f"add {fields(*lacking)}{about}")


Watch = Callable[[str, Iterable[Any], Sequence[int]], Iterator[Any]]
"""What long work is, its items as they come, and the size of each -> the same items."""


def unwatched(what: str, items: Iterable[Any], sizes: Sequence[int]) -> Iterator[Any]:
    """The items as they come."""
    yield from items


WATCH: ContextVar[Watch] = ContextVar("watch", default=unwatched)
"""Who watches long work: the command line sets a bar here."""


Stop = Callable[[], bool]
"""Whether the user wants what there is so far."""


def never() -> AbstractContextManager[Stop]:
    """Nobody interrupts."""
    return nullcontext(lambda: False)


INTERRUPT: ContextVar[Callable[[], AbstractContextManager[Stop]]] = ContextVar("interrupt", default=never)
"""How long work learns that it is to stop with what it has: the command line hears Ctrl-C here."""
