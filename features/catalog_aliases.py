"""The names that shops, feeds and exports give to a catalogue's columns, by field.

Sources are the export formats of Shopify, WooCommerce and Magento, Google Merchant feeds, schema.org's Product, and
what shops call their columns in German, French, Spanish, Portuguese, Italian, Dutch, Polish, Swedish, Danish,
Norwegian, Czech, Turkish, Russian, Japanese, Chinese and Korean.
"""

from __future__ import annotations

ALIASES: dict[str, tuple[str, ...]] = {
    "item_id": ("item_id", "product_id", "asin", "sku", "id", "product_sku", "variant_sku", "product_code", "item_code",
                "article_id", "article_number", "artikelnummer", "artikel_nr", "art_nr", "objectID", "uniq_id",
                "unique_id", "identifier", "reference", "code", "parent_asin", "handle", "mpn", "gtin", "ean", "@id",
                "product_number", "product_no", "item_number", "item_no", "article_no", "sku_id", "goods_id",
                "product_ref", "ref", "referencia", "referencia_producto", "codigo", "codigo_producto",
                "codigo_produto", "riferimento", "codice", "codice_articolo", "codice_prodotto", "artikelcode",
                "productcode", "artikelnr", "artnr", "varenummer", "varenr", "produktnummer", "produktnr", "produkt_id",
                "kod", "kod_produktu", "kod_towaru", "cislo_produktu", "urun_kodu", "stok_kodu", "артикул",
                "код", "код_товара", "商品コード", "商品番号", "商品ID", "品番", "商品编号", "商品编码", "货号",
                "상품코드", "상품번호", "ISBN"),
    "title": ("title", "product_title", "name", "product_name", "item_name", "product_display_name", "titel",
              "produktname", "artikelname", "bezeichnung", "artikelbezeichnung", "titre", "nom", "nom_du_produit",
              "designation", "nom_produit", "libelle", "intitule", "produktbezeichnung", "artikeltext", "nombre",
              "nombre_producto", "nombre_del_producto", "titulo", "nome", "nome_produto", "nome_do_produto",
              "nome_prodotto", "titolo", "denominazione", "denominacion", "naam", "productnaam", "nazwa",
              "nazwa_produktu", "namn", "produktnamn", "navn", "produktnavn", "nazev", "nazov", "urun_adi", "baslik",
              "наименование", "название", "название_товара", "商品名", "商品名称", "製品名", "品名", "商品标题",
              "产品名称", "상품명", "제품명", "headline", "product"),
    "description": ("description", "product_description", "long_description", "body", "body_html", "body (HTML)",
                    "about_product", "beschreibung", "produktbeschreibung", "langbeschreibung", "short_description",
                    "artikelbeschreibung", "kurzbeschreibung", "desc", "long_desc", "short_desc", "descriptif",
                    "descripcion", "descripcion_producto", "descricao", "descrizione", "omschrijving",
                    "productomschrijving", "beskrivning", "beskrivelse", "opis", "opis_produktu", "popis", "aciklama",
                    "описание", "商品説明", "商品の説明", "商品描述", "产品描述", "상품설명"),
    "category_path": ("category_path", "categories", "category", "breadcrumbs", "product_category", "product_type",
                      "google_product_category", "category_name", "category_names", "product_category_tree",
                      "hierarchical_categories", "breadcrumb", "kategorie", "kategorien", "kategoriepfad",
                      "warengruppe", "categorie", "artikelgruppe", "produktgruppe", "produktkategorie", "famille",
                      "rayon", "categoria", "categorias", "rubro", "familia", "categoria_prodotto", "productgroep",
                      "kategoria", "kategori", "varugrupp", "категория", "раздел", "カテゴリ", "カテゴリー",
                      "商品カテゴリ", "分类", "类目", "商品分类", "카테고리", "department", "category_slug"),
    "brand": ("brand", "product_brand", "brand_name", "brands", "manufacturer", "manufacturer_name", "vendor", "marke",
              "hersteller", "marque", "fabricant", "shop", "shop_id", "shop_name", "store", "marca", "fabricante",
              "produttore", "merk", "fabrikant", "marka", "producent", "varumarke", "maerke", "vyrobce", "znacka",
              "бренд", "производитель", "ブランド", "ブランド名", "メーカー", "品牌", "브랜드", "제조사"),
    "price": ("final_price", "current_price", "sale_price", "special_price", "discounted_price", "selling_price",
              "price", "variant_price", "offers.price", "offers.low_price", "offers.price_specification.price",
              "offers.offers.price", "variants.price", "has_variant.offers.price", "has_variant.offers.low_price",
              "price_b2c", "gross_price", "price_gross", "price_incl_tax", "price_with_tax", "price_incl_vat",
              "regular_price", "unit_price", "list_price", "retail_price", "prices", "price_range", "preis",
              "verkaufspreis", "bruttopreis", "prix", "prix_ttc", "vk_brutto", "vk_preis", "endpreis", "prix_de_vente",
              "tarif", "precio", "precio_venta", "pvp", "preco", "preco_venda", "prezzo", "prezzo_vendita", "prijs",
              "verkoopprijs", "cena", "cena_brutto", "pris", "fiyat", "цена", "価格", "販売価格", "税込価格", "价格",
              "售价", "单价", "가격", "판매가"),
    "rating": ("rating", "average_rating", "avg_rating", "stars", "aggregate_rating.rating_value",
               "aggregate_rating", "customer_review_average", "review_rating", "ratings", "bewertung",
               "rating.average_rating", "rating.average", "rating.value", "rating.rate", "star_rating",
               "customer_rating", "user_rating", "product_rating", "valoracion", "puntuacion", "avaliacao",
               "valutazione", "beoordeling", "ocena", "рейтинг", "оценка", "評価", "评分", "평점"),
    "rating_count": ("rating_count", "ratings_count", "review_count", "reviews_count", "num_reviews", "rating_number",
                     "no_of_ratings", "number_of_reviews", "aggregate_rating.review_count",
                     "aggregate_rating.rating_count", "customer_review_count", "rating.count", "total_reviews",
                     "anzahl_bewertungen", "rating.number_of_reviews", "rating.number_of_ratings",
                     "rating.review_count", "num_ratings", "no_of_reviews", "number_of_ratings", "ratings_total",
                     "レビュー数", "评论数"),
    "attributes": ("attributes", "attrs", "specifications", "specs", "additional_attributes", "options",
                   "product_details", "additional_property", "properties", "features", "details"),
    "tags": ("tags", "keywords", "labels", "product_tags", "schlagworte", "mots_cles", "etiquetas", "palabras_clave",
             "palavras_chave", "parole_chiave", "trefwoorden", "tagi", "теги", "タグ", "标签", "태그"),
    "available_from": ("available_from", "created_at", "created", "date_added", "date_first_available",
                       "date_created", "published_at", "release_date", "start_date"),
}  # fmt: skip
"""Field -> names of columns that hold it, best first."""

LAST_IDS = ("slug", "product_slug", "url_key", "permalink", "canonical_url", "product_url", "url", "link")
"""Columns that name an item where a catalogue has no id at all."""

PRODUCT_NAMES = ("item_group_id", "parent_sku", "parent", "parent_id", "in_product_group_with_id",
                 "is_variant_of.product_group_id", "product_group_id", "is_variant_of.sku")  # fmt: skip
"""Columns whose value names the product that the row is a variant of, or is; of several the first that a row has."""
VARIANT_NAMES = ("variants.id", "variants.sku", "configurable_variations", "has_variant.sku", "has_variant.product_id",
                 "has_variant.id", "has_variant.@id")  # fmt: skip
"""Columns of a product that hold the ids of its variants."""
OPENED_NAMES = ("offers", "offers.offers", "offers.price_specification", "variants", "has_variant",
                "has_variant.offers", "is_variant_of", "aggregate_rating", "rating")  # fmt: skip
"""Columns whose objects are opened: ``offers.price``, and what is inside those."""
