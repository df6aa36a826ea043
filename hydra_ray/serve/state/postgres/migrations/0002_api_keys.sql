-- API keys of a service with `keys_in_database`, by their hashes alone. The name stands for the key in commands.

CREATE TABLE api_keys (
    tenant text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    digest bytea NOT NULL UNIQUE,
    added timestamptz NOT NULL DEFAULT now(),
    expires timestamptz,            -- null: never
    requests bigint,                -- a minute at most; null: no limit
    tokens bigint,
    PRIMARY KEY (tenant, name)
);

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY own_tenant ON api_keys
    USING (tenant = current_setting('hydra_ray.tenant', true) OR current_setting('hydra_ray.tenant', true) = '*');
