"""CEL as Kubernetes has it. Source: the CEL specification (langdef.md), github.com/google/cel-go/ext and
https://kubernetes.io/docs/reference/using-api/cel/."""

import pytest

from api.cel.program import Budget, CompileError, CostExceeded, EvaluationError, compile
from api.cel.types import DYN, INT, STRING, Field, list_of, map_of, object_of
from api.cel.values import Optional

ITEM = object_of("item", {"name": Field(STRING, "name"), "size": Field(INT, "size")})
SELF = object_of("self", {
    "n": Field(INT, "n"), "text": Field(STRING, "text"), "any": Field(DYN, "any"),
    "items": Field(list_of(ITEM), "items"), "labels": Field(map_of(STRING, STRING), "labels"),
    "absent": Field(STRING, "absent"), "__namespace__": Field(STRING, "namespace"),
})  # fmt: skip
VALUE = {"n": 3, "text": "hello", "any": "50%", "labels": {"a": "b"}, "namespace": "ns",
         "items": [{"name": "x", "size": 1}, {"name": "y", "size": 2}]}  # fmt: skip


def value(expression: str):
    return compile(expression, {"self": SELF}).evaluate({"self": VALUE})


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 2 * 3 - 4 / 2 % 3", 5),
        ("-7 / 2", -3),
        ("-7 % 3", -1),
        ("1.5 + 2.0", 3.5),
        ("2u * 3u", 6),
        ("0x1F", 31),
        ("'a' + \"b\" + r'\\d' + '''c\"'''", 'ab\\dc"'),
        ("'\\u00e9\\x41\\101\\n'", "éAA\n"),
        ("b'\\xff' + b'a'", b"\xffa"),
        ("bytes('é').size()", 2),
        ("size('é')", 1),
        ("1 < 2.5 && 2u >= 2", True),
        ("dyn(1) == 1u && dyn(1.0) == 1", True),
        ("dyn(1) == true", False),
        ("[1, 2] + [3] == [1, 2, 3]", True),
        ("{'a': 1}.a + {'a': 1}['a']", 2),
        ("'a' in ['a'] && !('b' in {'a': 1})", True),
        ("false && 1 / 0 > 0", False),
        ("1 / 0 > 0 || true", True),
        ("true ? 'a' : 'b'", "a"),
        ("type(1) == int && type('a') != int && type([]) == list && type(null) == null_type", True),
        ("has(self.text) && !has(self.absent)", True),
        ("self.__namespace__", "ns"),
        ("self.any == '50%' && type(self.any) == string", True),
        ("self.items.all(i, i.size > 0)", True),
        ("self.items.exists(i, i.name == 'y')", True),
        ("[1, 0].exists(x, 1 / x == 1)", True),
        ("self.items.exists_one(i, i.size > 1)", True),
        ("self.items.map(i, i.size)", [1, 2]),
        ("self.items.map(i, i.size > 1, i.name)", ["y"]),
        ("self.items.filter(i, i.size > 1).size()", 1),
        ("self.labels.all(k, self.labels[k] == 'b')", True),
        ("self.labels.all(k, v, k == 'a' && v == 'b')", True),
        ("self.items.exists(i, item, i == 1 && item.name == 'y')", True),
        ("['a', 'b'].existsOne(i, s, i == 0)", True),
        ("[3, 4].transformList(i, v, i * v)", [0, 4]),
        ("[3, 4].transformList(i, v, v > 3, v)", [4]),
        ("{'a': 1}.transformMap(k, v, v + 1)", {"a": 2}),
        ("{'a': 'b'}.transformMapEntry(k, v, {v: k})", {"b": "a"}),
        ("[1, 2].all(x, [3, 4].all(y, x < y))", True),
        ("self.?absent.orValue('none')", "none"),
        ("self.?labels.?b.hasValue()", False),
        ("self.labels[?'a'].value()", "b"),
        ("[1][?5].orValue(7)", 7),
        ("optional.of(1).optMap(x, x + 1).value()", 2),
        ("optional.of(1).optFlatMap(x, optional.none()).hasValue()", False),
        ("optional.ofNonZeroValue('').or(optional.of('x')).value()", "x"),
        ("[?optional.none(), 1]", [1]),
        ("{?'a': optional.of(1), ?'b': optional.none()}", {"a": 1}),
        ("uint(3.9)", 3),
        ("int('42') + int(3.9) + int(true ? 1u : 2u)", 46),
        ("string(1.0) + string(true) + string(7u)", "1true7"),
        ("double('1e3')", 1000.0),
        ("string(duration('1h30m') - duration('30m'))", "3600s"),
        ("timestamp('2023-06-10T00:00:00Z') - timestamp('2023-06-09T00:00:00Z') == duration('24h')", True),
        ("string(timestamp('2020-01-01T00:00:00.5Z') + duration('1s'))", "2020-01-01T00:00:01.5Z"),
        ("timestamp('2020-03-01T23:30:00Z').getDate('+01:00')", 2),
        ("timestamp('2020-03-01T00:00:00Z').getDayOfYear()", 60),
        ("timestamp('2020-03-01T00:00:00Z').getDayOfWeek()", 0),
        ("duration('90m').getHours()", 1),
        ("duration('1.5s').getMilliseconds()", 1500),
        ("'tacocat'.charAt(3)", "o"),
        ("'hello mellow'.indexOf('ello', 2)", 7),
        ("'hello mellow'.lastIndexOf('ello')", 7),
        ("'hello hello'.replace('he', 'we', 1)", "wello hello"),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
        ("'tacocat'.substring(0, 4)", "taco"),
        ("'  trim\\n'.trim()", "trim"),
        ("['a', 'b'].join('-')", "a-b"),
        ("'TacoCÆt'.lowerAscii()", "tacocÆt"),
        ("'%s: %d, %.1f, %x, %s'.format(['a', 1, 2.0, 255, [1, 2]])", "a: 1, 2.0, ff, [1, 2]"),
        ("strings.quote('a\"b')", '"a\\"b"'),
        ("'abc 123'.find('[0-9]+')", "123"),
        ("'1, 2, 3, 4'.findAll('[0-9]+').map(x, int(x)).sum() < 100", True),
        ("'abc'.matches('^[a-z]+$')", True),
        ("[1, 2, 3].isSorted() && [3, 1].max() == 3 && [1, 2].min() == 1", True),
        ("['a', 'b', 'a'].lastIndexOf('a')", 2),
        ("[duration('1s'), duration('2s')].sum() == duration('3s')", True),
        ("sets.contains([1, 2, 3], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])", True),
        ("url('https://example.com:80/').getHost()", "example.com:80"),
        ("url('https://example.com/path with spaces/').getEscapedPath()", "/path%20with%20spaces/"),
        ("url('https://[::1]:80/a?k=v&k=w').getQuery()['k']", ["v", "w"]),
        ("url('https://[::1]:80/').getHostname() + url('/a').getScheme()", "::1"),
        ("isURL('a b') || isURL('/absolute-path')", True),
        ("quantity('50k').add(20) == quantity('50020')", True),
        ("quantity('1Gi').compareTo(quantity('1024Mi'))", 0),
        ("quantity('1.5').isInteger() || isQuantity('1.3x')", False),
        ("quantity('150Mi').isLessThan(quantity('200M')) && quantity('-1').sign() == -1", True),
        ("ip('127.0.0.1').isLoopback() && ip('2001:db8::1').family() == 6", True),
        ("isIP('::ffff:1.2.3.4') || ip.isCanonical('2001:DB8::1')", False),
        ("cidr('192.168.0.0/24').containsIP('192.168.0.1')", True),
        ("cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24'))", True),
        ("string(cidr('192.168.0.1/24').masked()) + string(cidr('10.0.0.0/8').prefixLength())", "192.168.0.0/248"),
        ("semver('1.0.0-alpha').isLessThan(semver('1.0.0')) && semver('v01.2', true).minor() == 2", True),
        ("isSemver('v1.0') || isSemver('1.0')", False),
        ("format.dns1123Label().validate('my-name').hasValue()", False),
        ("format.named('uuid').value().validate('x').value().size()", 1),
        ("format.named('nothing').hasValue()", False),
    ],
)
def test_value(expression, expected):
    assert value(expression) == expected
    assert type(value(expression)) is type(expected) or isinstance(expected, int)


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("1 / 0", "division by zero"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("self.absent == ''", "no such key: absent"),
        ("self.labels['x']", "no such key: x"),
        ("[1][1]", "index out of bounds: 1"),
        ("self.any + 1", "no such overload: _+_(string, int)"),
        ("uint(-0.5)", "unsigned integer overflow"),
        ("int('x')", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("optional.none().value()", "optional.none() dereference"),
        (
            "quantity('x')",
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        ("[1, 0].all(x, 1 / x == 1)", "division by zero"),
    ],
)
def test_no_value(expression, error):
    with pytest.raises(EvaluationError) as failed:
        value(expression)
    assert str(failed.value) == error


@pytest.mark.parametrize(
    ("expression", "column", "error"),
    [
        ("self.nothing", 5, "undefined field 'nothing'"),
        ("other", 1, "undeclared reference to 'other' (in container '')"),
        ("nothing(1)", 8, "undeclared reference to 'nothing' (in container '')"),
        ("1 + 'a'", 3, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("self.text.startsWith(1)", 21, "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("1 == 1.0", 3, "found no matching overload for '_==_' applied to '(int, double)'"),
        ("true ? 1 : 'a'", 6, "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("[1, 'a']", 5, "expected type 'int' but found 'string'"),
        ("self.n.x", 7, "type 'int' does not support field selection"),
        ("self.n && true", 5, "expected type 'bool' but found 'int'"),
        ("self.n.all(x, true)", 5, "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)"),
        ("'a'.matches('(')", 13, "invalid matches argument"),
        ("'a'.matches('(?=x)')", 13, "invalid matches argument"),
        ("duration('x')", 10, "invalid duration argument"),
        ("has(self)", 5, "invalid argument to has() macro"),
        ("math.greatest(1, 2)", 1, "undeclared reference to 'math' (in container '')"),
        ("1 +", 4, "Syntax error: mismatched input '<EOF>'"),
        ("a = 1", 3, "Syntax error: mismatched input '='"),
    ],
)  # fmt: skip
def test_refused(expression, column, error):
    with pytest.raises(CompileError) as failed:
        compile(expression, {"self": SELF})
    first, source, mark = str(failed.value).split("\n")
    assert first == f"ERROR: <input>:1:{column}: {error}"
    assert (source, mark) == (f" | {expression}", f" | {'.' * (column - 1)}^")


def test_work_is_limited_and_shared():
    """k8s.io/apiserver/pkg/apis/cel: a single call may cost a million, and an error inside `||` cannot hide it."""
    program = compile("true in a.map(x, a.all(y, x == y)) || true", {"a": list_of(INT)})
    budget = Budget(10_000_000)
    program.evaluate({"a": [1] * 10}, budget)
    assert 10_000_000 - 1000 < budget.left < 10_000_000 - 100
    with pytest.raises(CostExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({"a": [1] * 1000}, budget)
    assert budget.left < 9_000_000


def test_nesting_is_limited():
    with pytest.raises(CompileError, match="recursion limit"):
        compile("(" * 5000 + "1" + ")" * 5000, {})


def test_length_is_limited():
    with pytest.raises(CompileError, match="expression code point size exceeds limit: size: 100001, limit 100000"):
        compile("1" * 100_001, {})


def test_missing_variables_are_absent_values():
    program = compile("old.hasValue() ? old.value() : -1", {"old": DYN})
    assert program.uses == {"old"}
    assert program.evaluate({"old": Optional(present=False)}) == -1
