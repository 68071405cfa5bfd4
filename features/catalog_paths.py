"""The categories of an item: from one path or several, however they are written, to the levels of the deepest.

Levels are told apart by ``>``, else ``|``, else ``/``, else ``;``. A semicolon or a bar parts two paths where both have
levels of their own. A comma does so only where every part begins as the first does, or as other values of the column
do: ``Home > Beds, Bath & Linen`` is one path, and ``Gear,Gear/Bags`` two.

An object that has the one above it (``parent``, an object) or says its id (``parent_id``, of any object in the column)
is the end of a path, as is each of a list of them. One with its own path as a text (``path``) is that path.
"""

_MOST_LEVELS = 12
_PARENTS = ("parent", "parent_category", "parentCategory")
_PARENT_IDS = ("parent_id", "parentId", "parentID", "parent_category_id", "parentCategoryId", "parent")
_PATHS = ("path", "full_path", "fullPath", "full_name", "fullName", "path_name", "pathName", "breadcrumb",
          "breadcrumbs", "category_path", "hierarchy")  # fmt: skip


def _keys(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f"'$.{name}'" for name in names) + "]"


_ABOVE = " || ".join(
    f"list_transform(range({_MOST_LEVELS}, 0, -1), lambda n: json_extract(element, '$' || repeat('.{key}', n)))"
    for key in _PARENTS
)
_TREES_SQL = f"""
CREATE TABLE path_nodes AS
WITH listed AS (
    SELECT id, generate_subscripts(list, 1) AS place, unnest(list) AS element
    FROM (SELECT id, elements(inner_value) AS list FROM path_values WHERE is_list_or_object(inner_value))
), opened AS (
    SELECT id, place, element, label(element) AS name, first_key(json_extract(element, ['$.id', '$._id'])) AS node,
        list_filter([label(e) FOR e IN ({_ABOVE}) IF json_type(e) = 'OBJECT'
            OR json_type(e) = 'VARCHAR' AND json_extract(element, '$.id') IS NULL], lambda t: t IS NOT NULL) AS above,
        first_key(json_extract(element, {_keys(_PARENT_IDS)})) AS parent,
        [t FOR t IN list_transform(json_extract(element, {_keys(_PATHS)}), lambda e: label(elements(e)[-1]))
            IF contains(t, '>') OR contains(t, '/')] AS texts
    FROM listed
)
SELECT id, place, name, node, parent, above, list_filter(list_transform(texts, lambda t: separated(arrowed(t),
        level_mark(arrowed(t)))), lambda l: lower(l[-1]) = lower(name))[1] AS path,
    json_type(element) = 'OBJECT' AS is_object, len(list_filter(json_keys(element), lambda k: list_contains(
        {list(dict.fromkeys(_PARENTS + _PARENT_IDS))}, k))) > 0 OR path IS NOT NULL AS tells
FROM opened;
UPDATE path_values SET inner_value = trees.paths FROM (
    WITH RECURSIVE known AS (
        SELECT node, min(name) AS name, min(parent) AS parent FROM path_nodes
        WHERE node IS NOT NULL AND name IS NOT NULL GROUP BY node
    ), climbed AS (
        SELECT id, place, CASE WHEN len(above) = 0 AND path IS NULL THEN parent END AS parent,
            coalesce(path, list_append(above, name)) AS levels, [node] AS seen
        FROM path_nodes WHERE name IS NOT NULL
        UNION ALL
        SELECT id, place, known.parent, list_prepend(known.name, levels), list_append(seen, known.node)
        FROM climbed JOIN known ON climbed.parent = known.node
        WHERE NOT list_contains(seen, known.node) AND len(levels) < {_MOST_LEVELS}
    ), whole AS (
        SELECT id, place, arg_max(levels, len(levels)) AS levels FROM climbed GROUP BY ALL
    )
    SELECT id, to_json(list(levels ORDER BY place)) AS paths FROM whole
    WHERE id IN (SELECT id FROM path_nodes GROUP BY id HAVING bool_and(is_object) AND bool_or(tells)) GROUP BY id
) AS trees WHERE trees.id = path_values.id;
"""

_VALUES_SQL = r"""
CREATE OR REPLACE TEMP MACRO several(t) AS regexp_full_match(t,
    '[^;|\n]*>[^;|\n]*([;|\n]+[^;|\n]*>[^;|\n]*)+|[^>;|\n]*/[^>;|\n]*([;|\n]+[^>;|\n]*/[^>;|\n]*)+');
CREATE OR REPLACE TEMP MACRO level_mark(t) AS CASE WHEN contains(t, '>') THEN '>'
    WHEN several(t) THEN '/' WHEN contains(t, '|') THEN '\|+' WHEN contains(t, '/') THEN '/' ELSE ';' END;
CREATE OR REPLACE TEMP MACRO path_mark(t) AS CASE
    WHEN several(t) THEN '[;|\n]' WHEN level_mark(t) = '\|+' THEN '[,;\n]' WHEN level_mark(t) = ';' THEN '[,|\n]'
    ELSE '[,;|\n]' END;
CREATE OR REPLACE TEMP MACRO arrowed(t) AS
    replace(regexp_replace(t, '\s*(->|»|›|→|::|>+)\s*', ' > ', 'g'), '\,', chr(1));
CREATE OR REPLACE TEMP MACRO deepest_level(j) AS list_filter(json_extract(j,
    ['$.lvl5', '$.lvl4', '$.lvl3', '$.lvl2', '$.lvl1', '$.lvl0']), lambda e: label(elements(e)[1]) IS NOT NULL)[1];
CREATE OR REPLACE TEMP MACRO each_is_a_path(texts) AS len(list_filter(texts, lambda t: contains(arrowed(t), '>'))) > 0
    OR (len(texts) > 1 AND len(list_filter(texts, lambda t: NOT contains(t, '/'))) = 0);
CREATE TABLE path_values AS
    SELECT value, row_number() OVER (ORDER BY value) AS id, CASE WHEN json_type(value) = 'OBJECT'
        THEN coalesce(deepest_level(value), value) ELSE value END AS inner_value
    FROM (SELECT DISTINCT value FROM keyed WHERE field = 'category_path');
"""
_LEVELS_SQL = r"""
CREATE TABLE path_labels AS SELECT id, labels_of(inner_value) AS texts, json_type(inner_value) = 'ARRAY' AS is_list,
        coalesce(len(list_filter(json_extract(inner_value, '$[*]'), lambda e: json_type(e) = 'ARRAY')) > 0, false)
            AS holds_lists
    FROM path_values;
CREATE TABLE path_levels AS
    SELECT id, generate_subscripts(parts, 1) AS place, 0 AS piece, trimmed(labels_of(unnest(parts))) AS levels
    FROM (SELECT id, json_extract(inner_value, '$[*]') AS parts FROM path_values JOIN path_labels USING (id)
        WHERE is_list AND holds_lists)
    UNION ALL
    SELECT id, 1, 0, trimmed(texts) FROM path_labels WHERE is_list AND NOT holds_lists AND NOT each_is_a_path(texts);
CREATE TABLE path_texts AS
    SELECT id, generate_subscripts(texts, 1) AS place, arrowed(unnest(texts)) AS text
    FROM (SELECT id, trimmed(texts) AS texts FROM path_labels WHERE id NOT IN (SELECT id FROM path_levels));
CREATE TABLE path_pieces AS
    SELECT id, place, generate_subscripts(pieces, 1) AS piece, unnest(pieces) AS text, mark, clear,
        len(pieces) AS pieces
    FROM (SELECT id, place, level_mark(text) AS mark, several(text) AS clear,
        separated(text, path_mark(text)) AS pieces FROM path_texts);
CREATE TABLE path_roots AS
    SELECT DISTINCT separated(text, level_mark(text))[1] AS root FROM path_texts;
CREATE TABLE several_paths AS
    SELECT id, place FROM (SELECT id, place, clear, separated(text, mark)[1] AS root FROM path_pieces WHERE pieces > 1)
    GROUP BY id, place
    HAVING bool_and(clear) OR count(DISTINCT root) = 1
        OR bool_and(root IN (SELECT root FROM path_roots WHERE root IS NOT NULL));
INSERT INTO path_levels
    SELECT id, place, piece, separated(text, mark) FROM path_pieces SEMI JOIN several_paths USING (id, place)
    UNION ALL
    SELECT id, place, 0, separated(text, level_mark(text)) FROM path_texts ANTI JOIN several_paths USING (id, place);
CREATE TABLE category_paths AS
    WITH chosen AS (
        SELECT id, first(levels ORDER BY len(levels) DESC, place, piece) AS path,
            flatten(list(levels ORDER BY place, piece)) AS every_level
        FROM path_levels GROUP BY id
    )
    SELECT value::VARCHAR AS value_text, list_transform(path, lambda t: replace(t, chr(1), ',')) AS path,
        list_transform(list_filter(every_level, lambda t, place: NOT list_contains(path, t)
            AND list_position(every_level, t) = place), lambda t: replace(t, chr(1), ',')) AS further
    FROM path_values JOIN chosen USING (id)
"""
PATHS_SQL = _VALUES_SQL + _TREES_SQL + _LEVELS_SQL
"""From ``keyed`` to ``category_paths(value_text, path, further)``: the levels of the first deepest path, root first,
and those that only the other paths have."""
