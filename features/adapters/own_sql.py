"""The statements of ``own``: from rows of any names to ``steps``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.adapters.own_fields import CLOCKS, DAYS, Key
from features.adapters.own_shown import SHOWN_SQL, Flags, flags_sql
from features.sql_text import quoted
from infra.settings import ACTIONS, RawSettings, action_key

KINDS: Mapping[str, Sequence[str]] = {
    "search": ("search", "searched", "query", "search query", "search performed", "perform search",
               "search submitted", "submit search", "search request", "site search", "search event", "on search",
               "search results", "view search results", "search results viewed", "products searched", "suche",
               "suchanfrage", "gesucht", "buscar", "búsqueda", "busqueda", "recherche", "rechercher", "ricerca",
               "zoeken"),
    "list": ("impression", "impressions", "view item list", "product list viewed", "results shown", "shown",
             "exposure", "search impression", "result impression", "product impression", "item impression",
             "display"),
    "click": ("click", "clicked", "product click", "product clicked", "item click", "item clicked", "select item",
              "result click", "result clicked", "search click", "search result click", "click through",
              "click product", "click item", "click result", "klick", "geklickt", "produktklick", "clic", "cliqué",
              "klik"),
    "view": ("view", "viewed", "product view", "product viewed", "item view", "item viewed", "view item",
             "view product", "detail view", "product detail view", "view detail", "pdp view", "pdp",
             "produktansicht", "ansicht", "vista", "vista de producto", "vue produit"),
    "cart": ("add to cart", "cart", "added to cart", "cart add", "atc", "add to basket", "added to basket",
             "basket add", "product added", "add item to cart", "add to bag", "add cart", "warenkorb",
             "in den warenkorb", "in warenkorb", "añadir al carrito", "carrito", "ajout au panier",
             "ajouter au panier", "panier", "aggiunto al carrello", "carrello", "winkelwagen"),
    "order": ("purchase", "purchased", "order", "ordered", "buy", "bought", "transaction", "order completed",
              "completed order", "order placed", "place order", "purchase completed", "checkout completed", "sale",
              "kauf", "gekauft", "bestellung", "bestellt", "compra", "pedido", "achat", "commande", "acquisto",
              "ordine", "bestelling"),
}  # fmt: skip
"""What a step is, by the names that shops give to actions; ``raw.actions`` says it of others, and of these where it is
set otherwise than by default."""
_MEANINGS = {"impression": "list", "click": "click", "cart": "cart", "order": "order", "ignore": "ignore"}
_ID_PATHS = [
    f"$.{name}" for name in ("item_id", "itemId", "product_id", "productId", "productID", "object_id", "objectId",
                             "objectID", "sku", "SKU", "asin", "id", "ID", "_id", "doc_id", "docId", "code",
                             "item.id", "product.id")
]  # fmt: skip

MACROS = rf"""
CREATE OR REPLACE TEMP MACRO own_id(j) AS
    CASE WHEN json_type(j) = 'OBJECT' THEN first_key(json_extract(j, {_ID_PATHS})) ELSE as_key(j) END;
CREATE OR REPLACE TEMP MACRO own_list(j) AS CASE
    WHEN json_type(unfolded(j)) = 'ARRAY'
        THEN list_transform(json_extract(unfolded(j), '$[*]'), lambda e: own_id(e))
    WHEN json_type(j) = 'VARCHAR' AND regexp_matches(j ->> '$', '[|;,]')
        THEN list_transform(string_split_regex(j ->> '$', '\s*[|;,]\s*'), lambda t: plain_key(t)) END;
CREATE OR REPLACE TEMP MACRO own_items(j) AS CASE
    WHEN json_type(unfolded(j)) = 'ARRAY' THEN own_list(j)
    WHEN own_id(unfolded(j)) IS NOT NULL THEN [own_id(unfolded(j))] END;
-- a flag is no id: 1 beside each item says that it was clicked, not which
CREATE OR REPLACE TEMP MACRO own_many(j) AS CASE WHEN lower(as_id(j)) NOT IN ('0', '1', 'true', 'false')
    THEN coalesce(own_list(j), own_items(j)) ELSE own_list(j) END;
CREATE OR REPLACE TEMP MACRO own_text(j) AS CASE WHEN NOT regexp_matches(as_text(j), '^\s*[\[{{]') THEN as_id(j) END;
CREATE OR REPLACE TEMP MACRO own_time(j) AS coalesce(as_time(j), within_reason(try_strptime(as_id(j),
    ['%d.%m.%Y %H:%M:%S', '%d.%m.%Y %H:%M', '%d.%m.%Y, %H:%M:%S'])::TIMESTAMPTZ), own_slashed(as_id(j)));
"""


def kinds_sql(raw: RawSettings) -> str:
    """SQL of the table ``own_kinds(action, kind)``: actions without case, blanks, hyphens and underscores."""
    kinds = {action_key(name): _MEANINGS[meaning] for name, meaning in raw.actions.items()}
    kinds |= {action_key(name): kind for kind, names in KINDS.items() for name in names}
    default = {action_key(name): meaning for name, meaning in ACTIONS.items()}
    own = {action_key(name): meaning for name, meaning in raw.actions.items()}
    kinds |= {name: _MEANINGS[meaning] for name, meaning in own.items() if default.get(name) != meaning}
    rows = ", ".join(f"({quoted(name)}, {quoted(kind)})" for name, kind in kinds.items())
    return f"CREATE TABLE own_kinds AS FROM (VALUES {rows}) AS k (action, kind)"


def steps_sql(fields: Mapping[str, Sequence[Key]], flags: Flags) -> str:
    """SQL that fills ``steps`` from ``own_rows``; the rows that the lists of a search's row make count as no rows."""

    def first(field: str, reader: str) -> str:
        values = [f"{reader}({key.value})" for key in fields.get(field, ())]
        return f"coalesce({', '.join(values)}, NULL)" if values else "NULL"

    clocks = [key for key in fields["time"] if key.spelt[-1] in CLOCKS]
    days = [key for key in fields["time"] if key.spelt[-1] in DAYS]
    joined = (
        f"own_time(to_json(concat(as_id({days[0].value}), ' ', as_id({clocks[0].value}))))" if clocks and days else ""
    )
    time = f"coalesce({', '.join(filter(None, [joined, first('time', 'own_time')]))}, NULL)"
    return f"""
CREATE TABLE own_read AS
WITH read AS (
    SELECT own_rows.rowid AS row_id, kind AS hint, body IS NULL AS not_json, {time} AS time,
        {first("query", "own_text")}::VARCHAR AS text, {first("action", "as_key")}::VARCHAR AS action,
        {first("item", "own_items")}::VARCHAR[] AS items, {first("results", "own_list")}::VARCHAR[] AS shown,
        {first("clicked", "own_many")}::VARCHAR[] AS clicked, {first("ordered", "own_many")}::VARCHAR[] AS ordered,
        try_cast({first("position", "as_id")} AS BIGINT) AS position,
        {first("query_id", "as_key")}::VARCHAR AS query_id, {first("user", "as_key")}::VARCHAR AS user_id,
        {first("client", "as_key")}::VARCHAR AS client_id, {first("session", "as_key")}::VARCHAR AS session_id,
        {first("order_id", "as_key")}::VARCHAR AS order_id, {first("event_id", "as_key")}::VARCHAR AS event_id,
        {first("agent", "as_id")}::VARCHAR AS agent, {flags_sql(flags)}
    FROM own_rows
), named AS (
    -- a row of one shown item: its flags say so, or its action and its place in the list of a search with an id
    SELECT read.*, k.kind AS meant, len(items) = 1 AND shown IS NULL AND CASE
        WHEN read.action IS NULL THEN (hint IS NULL OR hint = 'list') AND flags IS NOT NULL
            OR hint = 'list' AND position IS NOT NULL
        WHEN k.kind = 'list' THEN flags IS NOT NULL OR position IS NOT NULL AND query_id IS NOT NULL
        WHEN k.kind = 'search' THEN flags IS NOT NULL ELSE false END AS is_shown
    FROM read LEFT JOIN own_kinds AS k ON regexp_replace(lower(read.action), '[\\s_-]', '', 'g') = k.action
), told AS (
    SELECT named.* REPLACE (coalesce(client_id, CASE WHEN user_id IS NULL THEN session_id END) AS client_id),
        CASE WHEN is_shown THEN 'shown' WHEN action IS NOT NULL THEN CASE WHEN meant <> 'ignore' THEN meant END
            WHEN text IS NOT NULL AND (coalesce(len(shown), 0) > 1 OR len(items) IS NULL) THEN 'search'
            WHEN len(items) > 0 THEN hint END AS kind,
        CASE WHEN not_json THEN 'left out: no JSON object, or not its columns'
            WHEN is_shown AND odd_flag THEN 'left out: a flag that is neither yes nor no'
            WHEN is_shown AND text IS NULL AND query_id IS NULL THEN 'left out: an item of no search'
            WHEN action IS NULL AND flags IS NOT NULL AND position IS NOT NULL AND len(items) IS NULL
                THEN 'left out: names no item'
            WHEN action IS NOT NULL AND meant IS NULL
                THEN 'left out: an action of no known meaning (raw.actions)'
            WHEN is_shown THEN NULL
            WHEN action IS NULL AND text IS NULL AND len(items) IS NULL THEN 'left out: neither a text nor an item'
            WHEN action IS NULL AND graded AND hint IS NULL AND len(items) > 0
                THEN 'left out: a grade of relevance, which is no action'
            WHEN action IS NULL AND len(items) > 0 AND hint IS NULL
                AND NOT (text IS NOT NULL AND coalesce(len(shown), 0) > 1)
                THEN 'left out: an item and no action: say what it is by --set as=' END AS reason
    FROM named
)
SELECT * REPLACE (CASE WHEN kind = 'search' AND (len(clicked) > 0 OR len(ordered) > 0) THEN coalesce(query_id,
        md5(concat_ws(chr(31), user_id, client_id, session_id, epoch_us(time), text))) ELSE query_id END AS query_id)
FROM told;
UPDATE own_read SET reason = 'left out: a list of no search' WHERE kind = 'shown' AND reason IS NULL
    AND text IS NULL AND query_id NOT IN (SELECT query_id FROM own_read WHERE query_id IS NOT NULL AND reason IS NULL
        AND (kind = 'search' OR kind = 'shown' AND text IS NOT NULL));
{SHOWN_SQL};
INSERT INTO steps BY NAME
SELECT CASE WHEN kind IN ('shown', 'hit') OR reason = 'left out: names no item' THEN 'shown item'
        ELSE coalesce(action, kind, 'row') END AS source_event,
    CASE WHEN reason IS NULL THEN kind END AS kind, reason, time,
    user_id, client_id, session_id, query_id, CASE WHEN kind IN ('search', 'list') THEN text END AS query_text,
    CASE WHEN kind NOT IN ('search', 'list', 'shown', 'hit') THEN text END AS user_query, event_id,
    CASE WHEN kind = 'order' THEN order_id END AS order_id, agent AS user_agent,
    CASE WHEN kind = 'search' THEN shown WHEN kind = 'list' THEN coalesce(shown, items) ELSE items END AS item_ids,
    CASE WHEN kind NOT IN ('search', 'list') AND len(items) = 1 THEN [position]
        WHEN kind = 'list' AND shown IS NULL AND len(items) = 1 THEN [position]
        ELSE list_transform(item_ids, lambda i: NULL::BIGINT) END AS positions
FROM own_read;
INSERT INTO steps BY NAME
SELECT 'listed in the row of a search' AS source_event, also AS kind, true AS extra, time + after AS time, user_id,
    client_id, session_id, query_id, agent AS user_agent, ids AS item_ids,
    list_transform(ids, lambda i: NULL::BIGINT) AS positions
FROM (
    SELECT *, clicked AS ids, 'click' AS also, INTERVAL 1 SECOND AS after FROM own_read
    UNION ALL SELECT *, ordered, 'order', INTERVAL 2 SECOND FROM own_read
) WHERE kind = 'search' AND reason IS NULL AND len(ids) > 0
"""
