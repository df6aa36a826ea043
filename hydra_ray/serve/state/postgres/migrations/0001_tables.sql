-- Texts are kept by hydra_ray.serve.state.postgres.rows.kept: PostgreSQL takes no NUL. Ids sort by their bytes.

CREATE TABLE service (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id text NOT NULL,               -- the same as in the state folder's serving.json
    buckets integer NOT NULL,
    deletions bigint NOT NULL DEFAULT 0  -- of users and items; caches drop what they hold when it grows
);

-- Of users deleted from a bucket: a new user begins above them.
CREATE TABLE floors (
    bucket integer PRIMARY KEY,
    revision bigint NOT NULL,
    heads jsonb NOT NULL
);

CREATE TABLE users (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    bucket integer NOT NULL,
    born bigint NOT NULL,           -- the revision before the user's first
    items integer NOT NULL,
    next_place integer NOT NULL,    -- of the next item; removed ones leave gaps
    revision bigint NOT NULL,
    heads jsonb NOT NULL,
    fit text NOT NULL,
    fitted_revision bigint,
    message text NOT NULL,
    fit_asked timestamptz,          -- who waits longest is fitted first
    fit_worker text,                -- who has the fit, until then
    fit_until timestamptz,
    UNIQUE (tenant, user_id)
);
CREATE INDEX users_of_bucket ON users (bucket);
CREATE INDEX users_waiting ON users (fit_asked) WHERE fit IN ('queued', 'running');

CREATE TABLE items (
    number bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    place integer NOT NULL,
    tenant text COLLATE "C" NOT NULL,
    item_id text COLLATE "C" NOT NULL,
    text text NOT NULL,
    corpus text,                    -- null: the same as text
    answer text NOT NULL,
    date text NOT NULL,
    PRIMARY KEY (number, place)
);

CREATE TABLE usage_days (
    tenant text COLLATE "C" NOT NULL,
    key text NOT NULL,
    day date NOT NULL,
    name text NOT NULL,
    requests bigint NOT NULL,
    refused bigint NOT NULL,
    tokens bigint NOT NULL,
    PRIMARY KEY (tenant, key, day)
);
CREATE INDEX usage_by_day ON usage_days (day);

CREATE TABLE usage_minutes (
    key text NOT NULL,
    minute bigint NOT NULL,
    requests bigint NOT NULL,
    tokens bigint NOT NULL,
    PRIMARY KEY (key, minute)
);

-- Every transaction says whose rows it may see; one that does not sees none. '*' is no tenant's name.
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON users
    USING (tenant = current_setting('hydra_ray.tenant', true) OR current_setting('hydra_ray.tenant', true) = '*');
ALTER TABLE items ENABLE ROW LEVEL SECURITY;
ALTER TABLE items FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON items
    USING (tenant = current_setting('hydra_ray.tenant', true) OR current_setting('hydra_ray.tenant', true) = '*');
ALTER TABLE usage_days ENABLE ROW LEVEL SECURITY;
ALTER TABLE usage_days FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON usage_days
    USING (tenant = current_setting('hydra_ray.tenant', true) OR current_setting('hydra_ray.tenant', true) = '*');
