# Build: compile with development dependencies, then keep the production ones only.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
RUN npm run build && npm prune --omit=dev --ignore-scripts

FROM node:20-bookworm-slim
ENV NODE_ENV=production DB_HTTP_HOST=0.0.0.0 DB_STATE_DIR=/var/lib/db-redundancy
WORKDIR /app
RUN apt-get update && apt-get install -y --no-install-recommends tini && rm -rf /var/lib/apt/lists/*
RUN mkdir -p /var/lib/db-redundancy && chown node:node /var/lib/db-redundancy
COPY --from=build --chown=node:node /app/node_modules ./node_modules
COPY --from=build --chown=node:node /app/dist ./dist
COPY --chown=node:node package.json ./
COPY --chown=node:node migrations ./migrations
USER node
EXPOSE 8080
VOLUME /var/lib/db-redundancy
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=4 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:'+(process.env.DB_HTTP_PORT||8080)+'/healthz').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
# As process 1, node would neither reap what others leave to it nor die of a signal that nothing handles.
ENTRYPOINT ["tini", "--", "node", "--max-semi-space-size=32", "dist/cli/main.js"]
CMD ["serve"]
