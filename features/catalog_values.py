"""The text or number inside a catalogue's value, in whatever it was packed: DuckDB macros over JSON.

``{"name": "Acme"}``, ``{"value": "15.00", "currency": "USD"}``, ``{"en": "Lamp", "de": "Lampe"}``, lists of them, and
all of these as JSON inside a text. Of languages English counts, else the first; of currencies and regions the first.
"""

from __future__ import annotations

_TEXT_KEYS = ("name", "value", "label", "title", "text", "displayName", "display_name", "@value", "#text", "_",
              "default", "en", "en-US", "en_US", "en-GB", "en_GB", "ratingValue", "rate", "average", "amount", "raw",
              "rendered")  # fmt: skip
_PRICE_KEYS = ("value", "amount", "price", "current", "sale", "final", "gross", "min", "lowPrice", "low", "regular",
               "original", "net", "min_price", "price_min", "from", "formatted", "formattedPrice")  # fmt: skip


def _paths(keys: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"""'$."{key}"'""" for key in keys) + "]"


# a macro's argument is bound once for each place it stands in: what is large is given to a lambda, or is a column
# prices by hand, not by price-parser: that reads -3 as 3 and cannot let a shop's other prices tell what 1.299 is
VALUE_MACROS = rf"""
CREATE OR REPLACE TEMP MACRO scalar_text(j) AS CASE
    WHEN json_type(j) = 'BOOLEAN' THEN j ->> '$'
    -- a number is the same text whether a column of doubles, a JSON number or a CSV cell held it
    WHEN regexp_full_match(as_id(j), '-?\d+\.0+') THEN regexp_extract(as_id(j), '^-?\d+')
    WHEN as_id(j) IN ('True', 'TRUE', 'False', 'FALSE') THEN lower(as_id(j))
    ELSE as_id(j) END;
CREATE OR REPLACE TEMP MACRO unboxed(j) AS CASE
    WHEN json_type(j) = 'VARCHAR' AND regexp_matches(j ->> '$', '^\s*[\[{{]') AND json_valid(j ->> '$')
    THEN (j ->> '$')::JSON ELSE j END;
CREATE OR REPLACE TEMP MACRO scalar_at(j, paths) AS
    list_filter(json_extract(j, paths), lambda e: as_id(e) IS NOT NULL)[1];
-- {{"id": 7}} is no text in Indonesian
CREATE OR REPLACE TEMP MACRO mapped(j, pattern) AS CASE
    WHEN json_keys(j) <> ['id'] AND len(list_filter(json_keys(j), lambda k: NOT regexp_full_match(k, pattern))) = 0
    THEN json_extract(j, '$.*') END;
CREATE OR REPLACE TEMP MACRO flat_label(j) AS coalesce(as_id(j), first_id(json_extract(j, {_paths(_TEXT_KEYS)})),
    first_id(mapped(j, '[a-z]{{2}}([-_][A-Za-z]{{2,4}})?')));
CREATE OR REPLACE TEMP MACRO label(j) AS coalesce(flat_label(j), list_filter(list_transform(
    json_extract(j, ['$.name', '$.value', '$.label']), lambda e: flat_label(e)), lambda t: t IS NOT NULL)[1]);
CREATE OR REPLACE TEMP MACRO elements(j) AS CASE WHEN json_type(j) = 'ARRAY' THEN json_extract(j, '$[*]') ELSE [j] END;
CREATE OR REPLACE TEMP MACRO labels_of(j) AS
    list_filter(list_transform(elements(j), lambda e: label(e)), lambda t: t IS NOT NULL);
CREATE OR REPLACE TEMP MACRO texts_of(j) AS list_filter(list_transform(elements(j),
    lambda e: coalesce(scalar_text(e), label(e))), lambda t: t IS NOT NULL);
CREATE OR REPLACE TEMP MACRO named(t) AS CASE WHEN lower(trim(t)) NOT IN
    ('', 'null', 'none', 'nan', 'n/a', '#n/a', '\n', '-', '--', '---', '–', '—') THEN trim(t) END;
CREATE OR REPLACE TEMP MACRO is_said(j) AS NOT is_absent(j) AND coalesce(j::VARCHAR NOT IN ('[]', '{{}}'), true)
    AND NOT coalesce(json_type(j) = 'VARCHAR' AND named(as_id(j)) IS NULL, false);
CREATE OR REPLACE TEMP MACRO trimmed(parts) AS
    list_filter(list_transform(parts, lambda t: named(t)), lambda t: t IS NOT NULL);
CREATE OR REPLACE TEMP MACRO separated(text, marks) AS trimmed(string_split_regex(text, marks));
-- one number with a currency around it; of comma and point the last one before one or two digits is the decimal mark,
-- 12,- is a round price, .99 has no leading zero (Rs.500 is not half a rupee), and a rate of tax is no price
CREATE OR REPLACE TEMP MACRO joined(s) AS regexp_replace(s, '(\d)[\s\x{{a0}}\x{{202f}}''](\d{{3}})', '\1\2', 'g');
-- twice: of 1'000'000 the marks lie too close for one pass
CREATE OR REPLACE TEMP MACRO bare_number(s) AS regexp_extract(regexp_replace(
    joined(joined(regexp_replace(s, '\d+([.,]\d+)?\s*%', '', 'g'))), '(^|[\s$€£¥])[.,](\d)', '\10.\2'),
    '^[^\d-]*(\d[\d.,]*)[^\d]*$', 1);
CREATE OR REPLACE TEMP MACRO comma_decimal(s) AS regexp_matches(s, ',\d{{0,2}}$');
CREATE OR REPLACE TEMP MACRO dotted(s, commas) AS CASE
    WHEN comma_decimal(s) THEN replace(replace(s, '.', ''), ',', '.')
    WHEN commas AND regexp_full_match(s, '\d{{1,3}}(\.\d{{3}})+') THEN replace(s, '.', '')
    ELSE replace(s, ',', '') END;
CREATE OR REPLACE TEMP MACRO text_amount(s, commas) AS try_cast(dotted(bare_number(s), commas) AS DOUBLE);
-- "10 - 20 EUR": two numbers with a mark between them, of which the lower counts
CREATE OR REPLACE TEMP MACRO range_ends(s) AS list_filter(
    string_split_regex(s, '\s*(-|–|—|~|\bto\b|\bbis\b)\s*'), lambda t: regexp_matches(t, '\d'));
CREATE OR REPLACE TEMP MACRO number_of(j) AS
    list_filter([try_cast(j ->> '$' AS DOUBLE)], lambda x: isfinite(x) AND x >= 0)[1];
-- commercetools counts in cents, Google's Merchant API in millionths
CREATE OR REPLACE TEMP MACRO small_units(j) AS coalesce(
    try_cast(j ->> '$.centAmount' AS DOUBLE) / 10 ** coalesce(try_cast(j ->> '$.fractionDigits' AS DOUBLE), 2),
    try_cast(j ->> '$.amountMicros' AS DOUBLE) / 1e6);
CREATE OR REPLACE TEMP MACRO price_in(j) AS CASE WHEN json_type(j) = 'OBJECT' THEN coalesce(
    to_json(coalesce(small_units(j), small_units(json_extract(j, '$.*')[1]))),
    scalar_at(j, {_paths(_PRICE_KEYS)}), list_filter(mapped(j, '[A-Za-z]{{2,3}}|default|[a-z]{{2}}[-_][A-Za-z]{{2}}'),
        lambda e: as_id(e) IS NOT NULL)[1],
    scalar_at(json_extract(j, '$.*')[1], {_paths(_PRICE_KEYS)})) ELSE j END;
CREATE OR REPLACE TEMP MACRO prices_in(j) AS list_transform(elements(j), lambda e: price_in(e));
CREATE OR REPLACE TEMP MACRO first_number(t) AS
    try_cast(replace(nullif(regexp_extract(t, '^(\d+([.,]\d+)?)', 1), ''), ',', '.') AS DOUBLE);
-- with dots the day comes first everywhere; with slashes nothing tells
CREATE OR REPLACE TEMP MACRO as_date(j) AS coalesce(as_time(j), within_reason(
    try_strptime(as_id(j), ['%d.%m.%Y', '%d.%m.%Y %H:%M', '%d.%m.%Y %H:%M:%S'])::TIMESTAMPTZ));
-- "color=red,size=M"
CREATE OR REPLACE TEMP MACRO is_pairs_text(j) AS json_type(j) = 'VARCHAR'
    AND regexp_full_match(j ->> '$', '\s*[\w .-]{{1,64}}=.*', 's');
CREATE OR REPLACE TEMP MACRO is_list_or_object(j) AS coalesce(json_type(j) IN ('ARRAY', 'OBJECT'), false);
CREATE OR REPLACE TEMP MACRO is_structured(j) AS coalesce(json_type(j) = 'OBJECT' OR is_pairs_text(j)
    OR (json_type(j) = 'ARRAY' AND json_type(j, '$[0]') = 'OBJECT'), false);
"""
"""They need those of ``json_macros`` and ``location``. ``label`` is the text in a value, ``texts_of`` those in a list,
``prices_in`` the numbers or texts of a price, ``is_said`` whether a value says anything."""
