/**
 * Pages of lists: how many, from where, and the token of the next page.
 * Promise: a token is a position in the log, so a page is never shifted by what is added meanwhile.
 */
import { refuseInvalid } from '@tallystick/surface';

export interface Page {
  limit: number;
  /** Position to go on from; absent: from the start. */
  after?: number;
}

export function pageOf(request: { pageSize: number; pageToken: string }, sizeDefault: number): Page {
  const { pageSize, pageToken } = request;
  if (pageToken !== '' && !/^[0-9]{1,15}$/.test(pageToken)) {
    throw refuseInvalid([{ pointer: '/page_token', detail: 'is not a token of this platform', rule: 'page_token' }]);
  }
  return { limit: pageSize || sizeDefault, ...(pageToken === '' ? {} : { after: Number(pageToken) }) };
}

/** Empty when the page was not full. */
export const nextToken = (page: Page, count: number, lastPos: number | undefined): string =>
  count < page.limit || lastPos === undefined ? '' : String(lastPos);
