/**
 * What was offered to be paid for requests, and what became of it.
 * Promise: reads only; who pays is the connection's payer.
 */
import type { Quote } from '@tallystick/proto';
import { type Asked, askedOf } from './ids.ts';
import { pagesOf } from './pages.ts';
import type { Link } from './services.ts';

export interface Quotes {
  /** @errors ApiError `not_found` */
  get(id: string, options?: Asked): Promise<Quote>;
  /** Newest first. */
  list(options?: Asked): AsyncIterable<Quote>;
}

/** @internal */
export function quotesOf({ services: { quotes } }: Link): Quotes {
  return {
    get: (id, options) => quotes.getQuote({ id }, askedOf(options)),
    list: (options) =>
      pagesOf(async (pageToken) => {
        const page = await quotes.listQuotes({ pageToken }, askedOf(options));
        return { items: page.quotes, next: page.nextPageToken };
      }),
  };
}
